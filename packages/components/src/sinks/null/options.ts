import { integer, type OptionsOf } from "@millrace/core";

export const options = {
  batchSize: integer("batchSize", "Events in one transaction at most.", { default: 100, min: 1 }),
  logEveryNEvents: integer(
    "logEveryNEvents",
    "Logs how many events were discarded after this many, at most once a second.",
    { default: 10_000, min: 1 },
  ),
};

export type Options = OptionsOf<typeof options>;
