import type { PollableSource } from "@millrace/core";
import { sourceContract } from "./source-contract.ts";

sourceContract("a source that brings nothing", () => ({
  start: async () => {},
  stop: async () => {},
}));

sourceContract("a polled source that waits for its abort", (): PollableSource => ({
  pollBackoff: { incrementMs: 1000, maxMs: 5000 },
  start: async () => {},
  stop: async () => {},
  poll: (signal) =>
    new Promise((resolve) => signal.addEventListener("abort", () => resolve("backoff"))),
}));
