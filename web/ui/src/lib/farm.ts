// The farm in a sentence.

import { plural, safeWebAddress } from "./format";
import type { Model } from "./model";
import { renderingFrames } from "./running";
import type { FarmNode } from "./types";

/** `3 nodes, node-1 leads, 2 frames rendering, 1 queued`. */
export function farmSentence(model: Model): string {
  let rendering = 0;
  let queued = 0;
  for (const job of model.jobs.values()) {
    if (job.state !== "active") continue;
    const now = renderingFrames(model, job);
    rendering += now;
    queued += job.frame_counts.leased - now;
  }
  const leader = model.leader === null ? undefined : model.nodes.get(model.leader);
  const leads = model.leader === null ? "no leader" : `${leader?.name ?? `node ${model.leader}`} leads`;
  const work = rendering === 0 ? "nothing rendering" : `${plural(rendering, "frame")} rendering`;
  const next = queued === 0 ? "" : `, ${queued.toLocaleString("en")} queued`;
  return `${plural(model.nodes.size, "node")}, ${leads}, ${work}${next}`;
}

/** A warning when the farm could not lose one more voter; null while it could, or has only one. */
export function quorumWarning(nodes: Iterable<FarmNode>): string | null {
  const voters = [...nodes].filter((node) => node.vote === "voter");
  const there = voters.filter((node) => node.connected || node.is_this_node || node.is_leader).length;
  const majority = Math.floor(voters.length / 2) + 1;
  if (voters.length < 3 || there > majority) return null;
  if (there === majority) {
    return `${there} of ${voters.length} voters are connected: one more loss stops the farm until it returns.`;
  }
  return `Only ${there} of ${voters.length} voters are connected: the farm takes no changes until ${majority} are.`;
}

/**
 * The nodes to go on through when this one does not answer: those that were connected at the last
 * word, or all others if none was.
 */
export function goOnThrough(nodes: Iterable<FarmNode>): FarmNode[] {
  const others = [...nodes].filter((node) => !node.is_this_node && safeWebAddress(node.web_address) !== null);
  const connected = others.filter((node) => node.connected);
  return connected.length > 0 ? connected : others;
}
