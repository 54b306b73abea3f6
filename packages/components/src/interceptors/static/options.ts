import { boolean, type OptionsOf, text } from "@millrace/core";

export const options = {
  key: text("key", "The header to set.", { default: "key" }),
  value: text("value", "What it is set to.", { default: "value" }),
  preserveExisting: boolean("preserveExisting", "Leaves events alone that have the header.", {
    default: true,
  }),
};

export type Options = OptionsOf<typeof options>;
