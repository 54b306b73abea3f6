import { boolean, type OptionsOf } from "@millrace/core";

export const options = {
  appendNewline: boolean("appendNewline", "Writes a line feed behind each event.", {
    default: true,
  }),
};

export type Options = OptionsOf<typeof options>;
