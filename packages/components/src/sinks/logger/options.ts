import { integer, type OptionsOf } from "@millrace/core";

export const options = {
  maxBytesToLog: integer("maxBytesToLog", "Bytes of each body that are shown.", {
    default: 16,
    unit: "bytes",
  }),
};

export type Options = OptionsOf<typeof options>;
