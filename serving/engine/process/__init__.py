"""The processes of an engine host, and that they all end together.

    light main ── starts ──> warm process (vLLM imported, runs nothing)
        └─ asks it to fork ──> host process (FastAPI) ── asks it to fork ──> engine, engine, ...

vLLM is imported once a host; every process that needs it is forked from the warm one.
"""
