import { list, type OptionsOf, prefixed, text } from "@millrace/core";

export const options = {
  header: text("header", "The header whose value chooses the channels.", {
    default: "flume.selector.header",
  }),
  mapping: prefixed(
    "mapping",
    "mapping.<value>: the channels an event with this value must reach. Values are compared as " +
      "they are, case and blanks included; a value may contain dots.",
  ),
  default: list(
    "default",
    "The channels of events without the header, or with a value that is not mapped.",
  ),
  optional: prefixed(
    "optional",
    "optional.<value>: channels that may fail, beside the ones an event with this value must reach.",
  ),
};

export type Options = OptionsOf<typeof options>;
