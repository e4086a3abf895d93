/** A browser's own words about itself, short: `Firefox on Linux`. */
export function agentWords(agent: string): string {
  const find = (names: readonly (readonly [RegExp, string])[]): string | undefined =>
    names.find(([pattern]) => pattern.test(agent))?.[1];
  const browser = find([
    [/jiggablend/i, "the command line"], [/Edg\//, "Edge"], [/OPR\//, "Opera"], [/Firefox\//, "Firefox"],
    [/Chrom(e|ium)\//, "Chrome"], [/Safari\//, "Safari"], [/curl\//, "curl"],
  ]);
  // Phones name their parents, too: Android says Linux, iPhones say Mac OS X.
  const system = find([
    [/Android/, "Android"], [/iPhone|iPad/, "iOS"], [/Windows/, "Windows"], [/Mac OS X|Macintosh/, "macOS"], [/Linux/, "Linux"],
  ]);
  const told = agent.trim().slice(0, 60);
  if (browser === undefined) return told === "" ? "an unknown browser" : told;
  return system === undefined ? browser : `${browser} on ${system}`;
}
