"""python -m watch DIR: a traced step in the terminal."""

import sys

import tyro

from watch.view import View, main

if __name__ == "__main__":
    sys.exit(main(tyro.cli(View, description=View.__doc__)))
