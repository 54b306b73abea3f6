export * from "./component-context.ts";
export * from "./runtime/collecting-log.ts";
export * from "./runtime/collecting-metrics.ts";
export * from "./runtime/fake-clock.ts";
export * from "./runtime/seeded-random.ts";
export * from "./temp-directory.ts";
export * from "./wait-for.ts";
