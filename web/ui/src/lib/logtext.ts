// A log as lines: bounded, since a chatty add-on writes millions, and in pieces, since it is followed.

/** As many lines as are kept; of a longer log the newest ones. */
export const MAX_LINES = 5_000;
/** One line, at most: a picture that was printed by mistake is no line. */
const MAX_LINE = 2_000;

export interface LogText {
  lines: readonly string[];
  /** The last line, as long as its end has not come. */
  rest: string;
  /** How many lines were let go. */
  dropped: number;
}

export const EMPTY_LOG: LogText = { lines: [], rest: "", dropped: 0 };

/** The log with more text behind it. A lone CR begins a line anew, as a terminal shows it. */
export function appendLog(log: LogText, text: string): LogText {
  const pieces = (log.rest + text).split("\n");
  const rest = (pieces.pop() ?? "").slice(-MAX_LINE);
  const lines = [...log.lines, ...pieces.map((piece) => lastShown(piece).slice(0, MAX_LINE))];
  const over = Math.max(0, lines.length - MAX_LINES);
  return { lines: over === 0 ? lines : lines.slice(over), rest, dropped: log.dropped + over };
}

function lastShown(line: string): string {
  const text = line.replace(/\r$/, "");
  return text.slice(text.lastIndexOf("\r") + 1);
}

/** All that is to be shown, with the unfinished line. */
export function shownLines(log: LogText): readonly string[] {
  return log.rest === "" ? log.lines : [...log.lines, lastShown(log.rest)];
}

/** Which lines have the word, in any case. */
export function findLines(lines: readonly string[], word: string): number[] {
  const needle = word.trim().toLowerCase();
  if (needle === "") return [];
  return lines.flatMap((line, at) => (line.toLowerCase().includes(needle) ? [at] : []));
}
