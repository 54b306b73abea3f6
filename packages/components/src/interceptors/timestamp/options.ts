import { boolean, type OptionsOf, text } from "@millrace/core";

export const options = {
  headerName: text("headerName", "The header that gets milliseconds since 1970.", {
    default: "timestamp",
  }),
  preserveExisting: boolean("preserveExisting", "Leaves events alone that have the header.", {
    default: false,
  }),
};

export type Options = OptionsOf<typeof options>;
