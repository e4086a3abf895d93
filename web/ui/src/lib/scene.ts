// A first look at a file before it is sent. The node looks closer.

/** The most that a file name contributes to a job's name. */
const MAX_NAME = 120;

/** The job's name that a scene file suggests. */
export function nameFromFile(file_name: string): string {
  const name = file_name.replace(/\.blend\d*$/i, "").trim().slice(0, MAX_NAME);
  return name === "" ? "untitled" : name;
}

/** Why these first bytes cannot be a .blend, or null. Blender writes plain, gzip or zstd. */
export function whyNotABlend(name: string, head: Uint8Array): string | null {
  if (head.length === 0) return `${name} is empty; choose a .blend file`;
  const starts = (...bytes: number[]): boolean => bytes.every((byte, at) => head[at] === byte);
  const plain = starts(0x42, 0x4c, 0x45, 0x4e, 0x44, 0x45, 0x52);
  const gzip = starts(0x1f, 0x8b);
  const zstd = starts(0x28, 0xb5, 0x2f, 0xfd);
  if (plain || gzip || zstd) return null;
  return `${name} is not a .blend file; choose a file that Blender saved`;
}
