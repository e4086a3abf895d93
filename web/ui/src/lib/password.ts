/** The fewest characters of a password; the node has the last word. */
export const MIN_PASSWORD = 8;
