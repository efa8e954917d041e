"""Four in a row: seven columns of six; who has four discs in a line has won."""

COLUMNS, ROWS = 7, 6


def colour_of(number):
    """Whose the disc with this number is, from 0: red begins."""
    return ("red", "yellow")[number % 2]


def discs_of(moves):
    """The colour at each (column, row), from (1, 1) at the bottom left, after moves like "4453"."""
    discs = {}
    for number, column in enumerate(moves):
        row = 1 + moves[:number].count(column)
        discs[int(column), row] = colour_of(number)
    return discs


def find_line(moves):
    """The cells of four discs in a line; empty while there are none."""
    discs = discs_of(moves)
    for (column, row), colour in discs.items():
        for across, up in ((1, 0), (0, 1), (1, 1), (1, -1)):
            line = [(column + across * step, row + up * step) for step in range(4)]
            if all(discs.get(cell) == colour for cell in line):
                return line
    return []
