import { boolean, type OptionsOf, text } from "@millrace/core";

export const options = {
  hostHeader: text("hostHeader", "The header that gets the host.", { default: "host" }),
  useIP: boolean("useIP", "The address of this host; false for its name.", { default: true }),
  preserveExisting: boolean("preserveExisting", "Leaves events alone that have the header.", {
    default: false,
  }),
};

export type Options = OptionsOf<typeof options>;
