import { describe, expect, it } from "vitest";
import { readFrames } from "./frames";

const count = (text: string): number | string => {
  const hint = readFrames(text);
  return hint.kind === "frames" ? hint.count : hint.kind === "wrong" ? hint.message : "scene";
};

describe("a frame list", () => {
  it.each([
    ["", "scene"], ["  ", "scene"], ["1-250", 250], ["1-100x5", 20], ["3,7,9", 3], ["3, 7 ,9", 3], ["1-3,2-4", 4],
    ["-3--1,0", 4], ["12", 1], ["1 - 4", 4],
  ])("%j is counted", (text, expected) => expect(count(text)).toBe(expected));

  it.each([
    ["10-1", /reversed; write 1-10/], ["abc", /not a frame or a range/], ["1-3,", /not a frame/], ["1-5x0", /step of 0/],
    ["99999999", /outside what Blender can count/], ["-1048574-1048574", /more than 1000000/],
  ])("%j says what is wrong", (text, message) => expect(count(text)).toMatch(message));
});
