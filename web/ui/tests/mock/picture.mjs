// Pictures for the mock farm: small PNGs, and a video of them where ffmpeg is there.

import { spawn } from "node:child_process";
import { crc32, deflateSync } from "node:zlib";

const WIDTH = 320;
const HEIGHT = 180;

/** A PNG that differs from frame to frame: a disc over a gradient. */
export function framePng(frame, frames) {
  const raw = Buffer.alloc((WIDTH * 3 + 1) * HEIGHT);
  const turn = frame / Math.max(1, frames);
  const disc_x = WIDTH * (0.1 + 0.8 * turn);
  const disc_y = HEIGHT * (0.55 - 0.3 * Math.sin(turn * Math.PI));
  for (let y = 0; y < HEIGHT; y += 1) {
    for (let x = 0; x < WIDTH; x += 1) {
      const at = y * (WIDTH * 3 + 1) + 1 + x * 3;
      const distance = Math.hypot(x - disc_x, y - disc_y) / 34;
      const light = Math.max(0, 1 - distance);
      const ground = y > HEIGHT * 0.7 ? 0.5 : 1;
      raw[at] = distance < 1 ? 230 : ground * (40 + (90 * y) / HEIGHT);
      raw[at + 1] = distance < 1 ? 110 + 100 * light : ground * (70 + (70 * x) / WIDTH);
      raw[at + 2] = distance < 1 ? 60 : ground * (110 + 40 * turn);
    }
  }
  const header = Buffer.alloc(13);
  header.writeUInt32BE(WIDTH, 0);
  header.writeUInt32BE(HEIGHT, 4);
  header.set([8, 2, 0, 0, 0], 8);
  return Buffer.concat([
    Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]),
    chunk("IHDR", header),
    chunk("IDAT", deflateSync(raw, { level: 1 })),
    chunk("IEND", Buffer.alloc(0)),
  ]);
}

function chunk(kind, data) {
  const body = Buffer.concat([Buffer.from(kind, "latin1"), data]);
  const framed = Buffer.alloc(body.length + 8);
  framed.writeUInt32BE(data.length, 0);
  body.copy(framed, 4);
  framed.writeUInt32BE(crc32(body), body.length + 4);
  return framed;
}

/** An mp4 of some pictures. */
export function video(pngs) {
  return new Promise((resolve, reject) => {
    const ffmpeg = spawn("ffmpeg", [
      "-v", "error", "-f", "image2pipe", "-framerate", "24", "-i", "-", "-c:v", "libx264", "-pix_fmt", "yuv420p",
      "-movflags", "frag_keyframe+empty_moov", "-f", "mp4", "-",
    ]);
    const parts = [];
    ffmpeg.stdout.on("data", (part) => parts.push(part));
    ffmpeg.stderr.pipe(process.stderr);
    ffmpeg.on("error", reject);
    ffmpeg.on("close", (code) => (code === 0 ? resolve(Buffer.concat(parts)) : reject(new Error(`ffmpeg left with ${code}`))));
    for (const png of pngs) ffmpeg.stdin.write(png);
    ffmpeg.stdin.end();
  });
}
