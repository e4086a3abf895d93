// What the sign-in page offers, and what went wrong at a provider in words.

import { href, JOBS, type Route } from "./router";
import type { Providers } from "./types";

/** Why one cannot make an account here; null where one can. */
export function whyNoRegistration(offered: Providers, invitation: string | null): string | null {
  if (offered.first_account && offered.registration !== "closed") return null;
  if (offered.registration === "open") return null;
  if (offered.registration === "invitation") {
    return invitation === null ? "New accounts need an invitation: ask an admin of this farm for a link." : null;
  }
  return "This farm takes no new accounts; an admin can make one for you.";
}

/** Where to come back to after a provider: the same place of the page, or the jobs after an invitation. */
export function returnTo(route: Route): string {
  // An address that nobody wrote may hold what no header does.
  return `/${href(route.page === "invite" || route.page === "unknown" ? JOBS : route)}`;
}

const CALLBACK_WORDS: Record<string, string> = {
  "sign-in-refused": "The provider did not sign you in: it was refused or stopped there. Nothing was changed.",
  "sign-in-expired": "This sign-in took too long, or did not begin in this browser; begin again.",
  "provider-failed": "The provider did not say who you are; try again, or sign in another way.",
  "unknown-provider": "This farm does not offer that way to sign in.",
  "registration-refused": "This farm takes no such account: ask an admin for an invitation, or for a new one where yours was used or has expired.",
  "account-disabled": "This account is disabled; an admin of this farm can enable it again.",
  "identity-taken": "That account at the provider belongs to another user of this farm; sign in with it, or take another one.",
  "too-many-attempts": "There were too many tries from your address; wait a minute, then try again.",
  "cross-site": "Another site began this; begin again from this page.",
  "no-leader": "The farm has no leader at the moment; try again in a few seconds.",
  busy: "This node has too much to do at the moment; try again in a few seconds.",
};

/** A callback's `error` code in words; codes of later versions are shown as they are. */
export function callbackWords(code: string): string {
  return CALLBACK_WORDS[code] ?? `Signing in did not work (${code.slice(0, 60)}); try again, or sign in another way.`;
}

/** The `error` code that a callback left in the page's address, and the address without it. */
export function takeCallbackError(address: URL): { code: string; clean: string } | null {
  const code = address.searchParams.get("error");
  if (code === null) return null;
  address.searchParams.delete("error");
  return { code, clean: `${address.pathname}${address.search}${address.hash}` };
}
