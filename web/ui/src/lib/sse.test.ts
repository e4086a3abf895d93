import { describe, expect, it } from "vitest";
import { EventParser } from "./sse";

describe("the event parser", () => {
  it("reads events however the bytes are cut", () => {
    const text = 'event: change\nid: 7\ndata: {"a":1}\n\n: a comment\n\nevent: leader\ndata: {}\n\n';
    const whole = new EventParser().push(text);
    const parser = new EventParser();
    const pieces = [...text].flatMap((character) => parser.push(character));
    expect(pieces).toEqual(whole);
    expect(whole).toEqual([
      { event: "change", id: "7", data: '{"a":1}' },
      { event: "leader", id: null, data: "{}" },
    ]);
  });

  it("reads CRLF, also when it is cut in two", () => {
    const parser = new EventParser();
    expect(parser.push("data: a\r")).toEqual([]);
    expect(parser.push("\ndata: b\r\n\r\n")).toEqual([{ event: "message", id: null, data: "a\nb" }]);
  });

  it("gives nothing for an event that has not ended", () => {
    expect(new EventParser().push("event: change\ndata: {}\n")).toEqual([]);
  });
});
