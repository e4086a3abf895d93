/** What makes a machine a runner that speaks only HTTP. Tokens and origins need no quoting in a shell. */
export function httpJoinCommand(origin: string, token: string): string {
  return `jiggablend node join --http ${origin} --token ${token}`;
}
