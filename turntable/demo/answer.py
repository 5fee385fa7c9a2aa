"""Step 1: a real question gets a sensible answer."""

from turntable.demo.observation import Observation
from turntable.demo.outside import Outside

QUESTION = "What is the capital of France?"


def show_answer(outside: Outside, observation: Observation) -> None:
    """Ask the first model of the fleet, through the OpenAI client."""
    model = outside.fleet.models[0].name
    outside.say(f"asking {model}: {QUESTION}")
    answer = outside.chat_client().chat.completions.create(
        model=model,
        messages=[{"role": "user", "content": QUESTION}],
        max_tokens=48,
        temperature=0,
    )
    text = (answer.choices[0].message.content or "").strip()
    observation.expect("Paris" in text, f"{model} answers: {text!r}")
