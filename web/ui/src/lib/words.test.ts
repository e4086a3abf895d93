// What the page says in words about accounts, quotas, deliveries, attempts.

import { describe, expect, it } from "vitest";
import { agentWords } from "./agent";
import { attemptWords, whyNot } from "./attempts";
import { actorName, moreEntries } from "./audit";
import { tidyCode } from "./device";
import { duration } from "./format";
import { httpJoinCommand } from "./join";
import { quotaText, readQuota, usageLines } from "./quota";
import { scopesFor } from "./roles";
import { canBeAdded } from "./shares";
import { callbackWords, returnTo, takeCallbackError, whyNoRegistration } from "./signin";
import { expiryWords } from "./ttl";
import type { Attempt, AuditEntry, Delivery, Providers } from "./types";
import { deliveryWords, eventsFor } from "./webhooks";

describe("making an account", () => {
  const offers = (registration: Providers["registration"], first_account = false): Providers =>
    ({ local: true, registration, first_account, providers: [] });

  it("is possible for the first one, for all where it is open, and with an invitation", () => {
    expect(whyNoRegistration(offers("invitation", true), null)).toBeNull();
    expect(whyNoRegistration(offers("open"), null)).toBeNull();
    expect(whyNoRegistration(offers("invitation"), "jbi_1")).toBeNull();
  });

  it("is not possible otherwise, and the page says why", () => {
    expect(whyNoRegistration(offers("invitation"), null)).toMatch(/ask an admin of this farm for a link/);
    expect(whyNoRegistration(offers("closed"), "jbi_1")).toMatch(/takes no new accounts/);
    expect(whyNoRegistration(offers("closed", true), null)).toMatch(/takes no new accounts/);
  });
});

describe("a provider's callback", () => {
  it("comes back to where one was, except to an invitation that is used by then", () => {
    expect(returnTo({ page: "device", code: "AB-1" })).toBe("/#/device?code=AB-1");
    expect(returnTo({ page: "invite", secret: "jbi_1" })).toBe("/#/jobs");
    expect(returnTo({ page: "unknown", path: "/ü" })).toBe("/#/jobs");
  });

  it("leaves its error in the address, from where it is taken", () => {
    expect(takeCallbackError(new URL("http://a/?error=sign-in-expired&x=1#/nodes"))).toEqual({ code: "sign-in-expired", clean: "/?x=1#/nodes" });
    expect(takeCallbackError(new URL("http://a/#/jobs?error=no"))).toBeNull();
    expect(callbackWords("sign-in-expired")).toMatch(/begin again/);
    expect(callbackWords("of-a-later-version")).toMatch(/\(of-a-later-version\)/);
  });
});

describe("a quota", () => {
  const none = { bytes: null, jobs: null, frames_in_flight: null };

  it("is shown as how full it is, where there is a limit", () => {
    const lines = usageLines({ bytes: 4096, jobs: 0, frames_in_flight: null }, { bytes: 1024, jobs: 0, frames_in_flight: 1200 });
    expect(lines.map((line) => [line.words, line.fraction])).toEqual([
      ["1.0 KiB of 4.0 KiB", 0.25], ["0 of 0", 1], ["1,200, no limit", null],
    ]);
  });

  it("is read back as it was written", () => {
    const quota = { bytes: 1.5 * 2 ** 30, jobs: 3, frames_in_flight: 0 };
    expect(readQuota(quotaText(quota))).toEqual(quota);
    expect(readQuota(quotaText(none))).toEqual(none);
  });

  it("is not read from what is no number", () => {
    expect(() => readQuota({ gib: "a lot", jobs: "", frames: "" })).toThrow(/storage must be a number/);
    expect(() => readQuota({ gib: "", jobs: "1.5", frames: "" })).toThrow(/jobs must be a whole number/);
    expect(() => readQuota({ gib: "", jobs: "", frames: "-1" })).toThrow(/frames at once must be a number/);
  });
});

describe("a delivery", () => {
  const delivery = (with_: Partial<Delivery>): Delivery => ({
    id: 1, event: "test", job: null, node: null, created_at_ms: 0, attempts: 1, state: "waiting", status: null, error: null, next_attempt_at_ms: null,
    ended_at_ms: null, ...with_,
  });

  it("says what came of it", () => {
    expect(deliveryWords(delivery({ attempts: 0 }), 0)).toBe("on its way");
    expect(deliveryWords(delivery({ error: "status 500", next_attempt_at_ms: 40_000 }), 0)).toBe("tried: status 500; again in 40 s");
    expect(deliveryWords(delivery({ state: "delivered", status: 204, attempts: 2 }), 0)).toBe("delivered (204) after 2 tries");
    expect(deliveryWords(delivery({ state: "given_up", attempts: 1, error: "no such host" }), 0)).toBe("given up after 1 try: no such host");
  });

  it("is of nodes only for who sees all jobs", () => {
    expect(eventsFor(false)).not.toContain("node_joined");
    expect(eventsFor(true)).toContain("node_joined");
  });
});

describe("an attempt", () => {
  const attempt: Attempt = {
    task: 0, frame: 1, epoch: 1, node: 2, outcome: "failed", leased_at_ms: 1_000, ended_at_ms: 5_200, render_ms: null,
    failure: { kind: "crashed", message: "killed by signal 9" }, reason: null, log_file: null,
  };

  it("says where, how, and how long", () => {
    expect(attemptWords(attempt, "cellar", 9_000)).toBe("on cellar, failed after 4.2 s");
    expect(attemptWords({ ...attempt, outcome: "running", ended_at_ms: null }, "cellar", 13_000)).toBe("on cellar, runs for 12 s");
  });

  it("says why it came to nothing", () => {
    const lost: Attempt = { ...attempt, outcome: "lease_ended", failure: null, reason: "the node was silent for too long" };
    expect(attemptWords(lost, "cellar", 9_000)).toBe("on cellar, was lost after 4.2 s");
    expect(whyNot(lost)).toBe("the node was silent for too long");
    expect(whyNot(attempt)).toBe("killed by signal 9");
  });
});

describe("small words", () => {
  it("name a browser, and the phone rather than its parents", () => {
    expect(agentWords("Mozilla/5.0 (Linux; Android 15) AppleWebKit/537.36 Chrome/140.0 Mobile Safari/537.36")).toBe("Chrome on Android");
    expect(agentWords("Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Version/18.0 Safari/604.1")).toBe("Safari on iOS");
    expect(agentWords("curl/8.5.0")).toBe("curl");
    expect(agentWords("something else")).toBe("something else");
    expect(agentWords("")).toBe("an unknown browser");
  });

  it("tidy a code that was typed", () => {
    expect(tidyCode(" wdjb-mjht ")).toBe("WDJB-MJHT");
    expect(tidyCode("wdjb mjht")).toBe("WDJBMJHT");
    expect(tidyCode("–")).toBe("");
  });

  it("say how long something is good for", () => {
    expect(expiryWords(null, 0, duration)).toBe("until revoked");
    expect(expiryWords(5, 5, duration)).toBe("has expired");
    expect(expiryWords(90_000, 0, duration)).toBe("expires in 1 min 30 s");
  });

  it("write the line that makes a runner", () => {
    expect(httpJoinCommand("https://farm.example.org", "jbg_1")).toBe("jiggablend node join --http https://farm.example.org --token jbg_1");
  });

  it("offer a token no right that its account has not", () => {
    expect(scopesFor("viewer")).toEqual(["read", "admin"]);
    expect(scopesFor("member")).not.toContain("metrics");
    expect(scopesFor("admin")).toEqual(["read", "jobs", "admin", "metrics"]);
  });

  it("offer a job to nobody who has it", () => {
    const people = ["u1", "u2", "u3"].map((id) => ({ id, name: id }));
    expect(canBeAdded(people, "u1", [{ user: { id: "u3", name: "u3" }, access: "view" }]).map((one) => one.id)).toEqual(["u2"]);
  });

  it("name who did something, even when they are gone", () => {
    expect(actorName({ kind: "operator", id: "node-1", name: "attic" })).toBe("operator of attic");
    expect(actorName({ kind: "user", id: "018f0000-0000", name: null })).toBe("a former user (018f0000)");
  });

  it("show no entry of the audit log twice", () => {
    const entry = (number: number) => ({ number }) as AuditEntry;
    expect(moreEntries([entry(9), entry(8)], [entry(8), entry(7)]).map((one) => one.number)).toEqual([9, 8, 7]);
  });
});
