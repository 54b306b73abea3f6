import { MillraceError, type Sink } from "@millrace/core";
import { sinkContract } from "./sink-contract.ts";

const sink: Sink = {
  batchSize: 100,
  deliveriesInFlight: 1,
  start: async () => {},
  stop: async () => {},
  deliver: async () => {},
};

sinkContract("a sink that takes everything", () => sink, {
  makeStuck: () => ({
    ...sink,
    deliver: (_, giveUp) =>
      new Promise((_resolve, reject) => {
        giveUp.addEventListener("abort", () => reject(new MillraceError("RPC_TIMEOUT", "no one")));
      }),
  }),
});
