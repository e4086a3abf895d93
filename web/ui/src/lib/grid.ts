// Which tiles of a long grid are worth drawing.

export interface GridShape {
  columns: number;
  rows: number;
  /** The whole grid's height, drawn or not. */
  height_px: number;
}

export interface TileSize {
  width_px: number;
  height_px: number;
  gap_px: number;
}

export function gridShape(width_px: number, tile: TileSize, count: number): GridShape {
  const columns = Math.max(1, Math.floor((width_px + tile.gap_px) / (tile.width_px + tile.gap_px)));
  const rows = Math.ceil(count / columns);
  return { columns, rows, height_px: Math.max(0, rows * (tile.height_px + tile.gap_px) - tile.gap_px) };
}

export interface Window {
  first: number;
  /** One past the last tile to draw. */
  end: number;
  top_px: number;
}

/**
 * The tiles within sight, and a few rows more on both sides so that scrolling shows no holes.
 * Of a grid that is out of sight a few rows are drawn as well: the Tab key has to find them.
 * `top_px` is how far the grid's top is above the viewport's (negative: below it).
 */
export function tilesInSight(
  shape: GridShape, tile: TileSize, count: number, top_px: number, viewport_px: number, spare_rows = 3,
): Window {
  const row_px = tile.height_px + tile.gap_px;
  const clamp = (row: number): number => Math.min(Math.max(row, 0), shape.rows);
  const first_row = Math.min(
    clamp(Math.floor(top_px / row_px) - spare_rows),
    clamp(shape.rows - spare_rows),
  );
  const end_row = Math.max(
    clamp(Math.ceil((top_px + viewport_px) / row_px) + spare_rows),
    clamp(first_row + spare_rows),
  );
  return { first: first_row * shape.columns, end: Math.min(end_row * shape.columns, count), top_px: first_row * row_px };
}
