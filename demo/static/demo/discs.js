// Draws a game from its moves: the columns, 1 to 7, in which the discs were dropped.

export const find = (selector) => document.querySelector(selector);

/** Adds the discs that are new, or all of them where it is another game. */
export function drawDiscs(grid, { moves, line }) {
  const shown = grid.dataset.moves;
  if (shown === undefined || !moves.startsWith(shown)) grid.replaceChildren();
  const heights = Array(8).fill(0);
  for (const [number, column] of [...moves].entries()) {
    heights[column] += 1;
    if (number < grid.children.length) continue;
    const disc = document.createElement("i");
    disc.className = number % 2 ? "yellow" : "red";
    disc.classList.toggle("falls", shown !== undefined);
    disc.style.gridArea = `${7 - heights[column]} / ${column}`;
    disc.style.setProperty("--height", 7 - heights[column]);
    disc.dataset.cell = [column, heights[column]];
    grid.append(disc);
  }
  const last = moves.length - 1;
  for (const [number, disc] of [...grid.children].entries()) {
    disc.classList.toggle("won", line.some((cell) => String(cell) === disc.dataset.cell));
    disc.classList.toggle("last", number === last);
  }
  grid.dataset.moves = moves;
}
