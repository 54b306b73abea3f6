import assert from "node:assert/strict";
import { test } from "node:test";
import type { AgentReport, ChannelReport } from "./agent-report.ts";
import { renderReports } from "./render.ts";

const channel: ChannelReport = {
  name: "disk",
  type: "file",
  events: 1_214_004,
  bytes: 840,
  capacityBytes: 1000,
  oldestSeconds: 720,
  fullInSeconds: 480,
};

const edge: AgentReport = {
  address: "10.1.0.7:41414",
  agent: "edge",
  role: "edge",
  severity: "stuck",
  channels: [channel],
  inPerSecond: 10_012,
  outPerSecond: 0,
  why: ["sink near fails: ECONNREFUSED", "sink far fails: ECONNREFUSED"],
  generation: 7,
};

test("an agent is a line, and below it how bad it is and every reason", () => {
  assert.deepEqual(renderReports([edge]), [
    "agent                           held  oldest   full full in     in/s    out/s",
    "edge 10.1.0.7:41414        1,214,004    12 m   84 %     8 m   10,012        0",
    "  stuck: sink near fails: ECONNREFUSED",
    "    sink far fails: ECONNREFUSED",
  ]);
});

test("each of several channels has a line", () => {
  const dead = { ...channel, name: "dead", events: 0, oldestSeconds: undefined };
  assert.deepEqual(renderReports([{ ...edge, channels: [channel, dead], why: [] }]).slice(1), [
    "edge 10.1.0.7:41414                                           10,012        0",
    "  disk                     1,214,004    12 m   84 %     8 m",
    "  dead                             0       -   84 %     8 m",
    "  stuck",
  ]);
});

test("a reason that is too long for the terminal goes on in the next line, whole", () => {
  const lines = renderReports([edge], 24);
  assert.deepEqual(lines.slice(2), [
    "  stuck: sink near",
    "      fails:",
    "      ECONNREFUSED",
    "    sink far fails:",
    "      ECONNREFUSED",
  ]);
  for (let width = 1; width <= 16; width++) {
    const narrow = renderReports([edge], width).slice(2);
    assert.ok(narrow.every((line) => line.length <= width));
    assert.equal(narrow.join("").replace(/\s/g, ""), "stuck:sinknearfails:ECONNREFUSEDsinkfarfails:ECONNREFUSED"); // prettier-ignore
  }
  const word = renderReports([{ ...edge, why: ["x".repeat(60)] }], 24).slice(2);
  assert.ok(word.every((line) => line.length <= 24));
  assert.equal(word.join("").replace(/[^x]/g, "").length, 60);
});

test("what an agent says cannot command the terminal", () => {
  const escape = "\u001B[2J\u001B]0;title\u0007\u009B1A\r\n";
  const evil = { ...channel, name: `disk${escape}` };
  const text = renderReports([
    { ...edge, role: `edge${escape}`, channels: [evil, evil], why: [`reason${escape}`] },
  ]).join("\n");

  assert.doesNotMatch(text, /[\u0000-\u0009\u000B-\u001F\u007F-\u009F]/);
});
