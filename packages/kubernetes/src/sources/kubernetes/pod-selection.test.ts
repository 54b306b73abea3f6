import { createCollectingLog, optionsOf } from "@millrace/testing";
import assert from "node:assert/strict";
import { test } from "node:test";
import { podAnnotations } from "../../pods/pod-annotations.ts";
import type { PodInfo } from "../../pods/pod-info.ts";
import { options } from "./options.ts";
import { PodSelection } from "./pod-selection.ts";

const never = new AbortController().signal;
const id = { namespace: "shop", pod: "web-0", uid: "u1", container: "nginx" };

function given(annotations: Partial<Record<keyof typeof podAnnotations, string>>) {
  const pod: PodInfo = {
    ...{ namespace: "shop", name: "web-0", uid: "u1", node: "n1" },
    ...{ labels: new Map(), containers: new Map() },
    annotations: new Map(
      Object.entries(annotations).map(([key, text]) => [
        podAnnotations[key as keyof typeof podAnnotations],
        text,
      ]),
    ),
  };
  const log = createCollectingLog();
  const known = { peek: () => pod, peekName: () => pod, lookUp: () => Promise.resolve(pod) };
  const values = optionsOf(options, {});
  const own = { namespace: undefined, name: undefined, uid: undefined };
  const selection = new PodSelection(values, own, known, log);
  return { log, choose: (container: string) => selection.choose({ ...id, container }, never) };
}

for (const { exclude, nginx, side } of [
  { exclude: " True ", nginx: "no", side: "no" },
  { exclude: "side, other", nginx: "yes", side: "no" },
  { exclude: "false", nginx: "yes", side: "yes" },
]) {
  void test(`of a pod that excludes "${exclude}" a container is ${nginx}, and its neighbour ${side}`, () => {
    const { choose } = given({ exclude });
    assert.deepEqual([choose("nginx").read, choose("side").read], [nginx, side]);
  });
}

for (const { name, channel, want } of [
  { name: "without spaces around it", channel: " audit ", want: "audit" },
  { name: "no channel where it is empty", channel: " ", want: undefined },
]) {
  void test(`the channel that a pod asks for is ${name}`, () => {
    const choice = given({ channel }).choose("nginx");
    assert.equal(choice.read === "yes" && choice.channel, want);
  });
}

void test("a pattern that is not followed is said once for each pattern, and not with all of it", () => {
  const { log, choose } = given({ multiline: "(a+)+".repeat(20_000) });
  for (let i = 0; i < 3; i++) {
    const choice = choose("nginx");
    assert.equal(choice.read === "yes" && choice.firstLine, undefined);
  }
  assert.equal(log.lines.length, 1);
  assert.match(log.lines[0]?.message ?? "", /millrace.io\/multiline is not followed: it is longer/);
  assert.ok(JSON.stringify(log.lines[0]?.detail).length < 500);
});
