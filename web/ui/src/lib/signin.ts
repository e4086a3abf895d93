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
  return `/${href(route.page === "invite" ? JOBS : route)}`;
}

const CALLBACK_WORDS: Record<string, string> = {
  "access-denied": "The provider says that signing in was refused or stopped there.",
  "account-disabled": "This account is disabled; an admin of this farm can enable it again.",
  "sign-in-expired": "Signing in took too long, or this page was opened twice; try again.",
  "state-mismatch": "Signing in was begun in another browser; try again from here.",
  "email-not-verified": "The provider has not verified your e-mail address; verify it there, then try again.",
  "identity-in-use": "That account at the provider signs in another account of this farm already.",
  "already-linked": "An account of that provider is linked to yours already.",
  "registration-closed": "This farm takes no new accounts; an admin can make one for you.",
  "invitation-needed": "New accounts need an invitation: ask an admin of this farm for a link.",
  "invitation-unknown": "The invitation is not known here: it was used, was revoked, or has expired.",
  "provider-unreachable": "The provider does not answer this node; try again later, or sign in another way.",
  "provider-refused": "The provider did not confirm who you are; try again, or sign in another way.",
  "unknown-provider": "This farm does not offer that way to sign in.",
  "no-leader": "The farm has no leader at the moment; try again in a few seconds.",
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
