"""`python -m service` is the program `bursar-bridge`."""

from .cli import main

if __name__ == "__main__":
    main()
