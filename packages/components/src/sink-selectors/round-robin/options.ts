import type { OptionsOf } from "@millrace/core";

export const options = {};

export type Options = OptionsOf<typeof options>;
