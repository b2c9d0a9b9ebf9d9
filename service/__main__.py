"""`python -m service` starts the command-line program `bursar-bridge`."""

from .cli import main

if __name__ == "__main__":
    main()
