import { list, type OptionsOf } from "@millrace/core";
import { podOptions } from "../../pods/pod-settings.ts";

export const options = {
  labels: list(
    "labels",
    "Labels that become headers label.NAME, by name; * for all. Commas separate, too.",
  ),
  annotations: list(
    "annotations",
    "Annotations that become headers annotation.NAME, by name; * for all. Commas separate, too.",
  ),
  ...podOptions,
};

export type Options = OptionsOf<typeof options>;

export { checkPodOptions } from "../../pods/pod-settings.ts";
