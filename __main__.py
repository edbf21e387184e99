"""``python -m wattbench`` is the command ``wattbench``."""

from .cli import main

if __name__ == "__main__":
    main()
