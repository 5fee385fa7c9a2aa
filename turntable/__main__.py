"""`python -m turntable`: the same as the `turntable` command."""

from turntable.cli import main

if __name__ == "__main__":
    main()
