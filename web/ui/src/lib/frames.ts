// Frame lists as people write them: `1-250`, `1-100x5`, `3,7,9`. The farm has the last word; this
// says beside the field, while one types, what the text would mean.

const MAX_FRAMES = 1_000_000;
const FIRST_FRAME = -1_048_574;
const LAST_FRAME = 1_048_574;

export type FramesHint =
  | { kind: "scene" }
  | { kind: "frames"; count: number }
  | { kind: "wrong"; message: string };

const PART = /^([+-]?\d+)\s*(?:-\s*([+-]?\d+))?\s*(?:x\s*(\d+))?$/;

/** What a frame list would render. Blank means the scene's own range. */
export function readFrames(text: string): FramesHint {
  if (text.trim() === "") return { kind: "scene" };
  const frames = new Set<number>();
  for (const part of text.split(",").map((piece) => piece.trim())) {
    const match = PART.exec(part);
    if (!match) return wrong(`'${part}' is not a frame or a range; write for example 12, 1-250 or 1-100x5`);
    const first = Number(match[1]);
    const last = match[2] === undefined ? first : Number(match[2]);
    const step = match[3] === undefined ? 1 : Number(match[3]);
    if (step === 0) return wrong(`the range '${part}' has a step of 0; the step must be 1 or more`);
    for (const frame of [first, last]) {
      if (frame < FIRST_FRAME || frame > LAST_FRAME) {
        return wrong(`frame ${frame} is outside what Blender can count (${FIRST_FRAME} to ${LAST_FRAME})`);
      }
    }
    if (last < first) return wrong(`the range ${first}-${last} is reversed; write ${last}-${first}`);
    for (let frame = first; frame <= last; frame += step) {
      frames.add(frame);
      if (frames.size > MAX_FRAMES) return wrong(`the list has more than ${MAX_FRAMES} frames`);
    }
  }
  return { kind: "frames", count: frames.size };
}

function wrong(message: string): FramesHint {
  return { kind: "wrong", message };
}
