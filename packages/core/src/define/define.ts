import type { Channel } from "../channels/channel.ts";
import type { ChannelSelector } from "../channels/channel-selector.ts";
import type { Event } from "../events/event.ts";
import type { ChannelCounters, SinkCounters, SourceCounters } from "../metrics/counters.ts";
import type { Metrics } from "../metrics/metrics.ts";
import type { Log } from "../runtime/log.ts";
import type { Runtime } from "../runtime/runtime.ts";
import type { Sink } from "../sinks/sink.ts";
import type { SinkSelector } from "../sinks/sink-selector.ts";
import type { ChannelProcessor, Interceptor, Source } from "../sources/source.ts";
import type { OptionSpecs, OptionsOf, PartRef } from "./options.ts";

/** What every component is handed when it is made. It keeps nothing global and sets nothing later. */
export interface ComponentContext {
  readonly agent: string;
  /** The component's name in the configuration. */
  readonly name: string;
  /** Interceptors: the name of the source they belong to. */
  readonly source?: string;
  readonly runtime: Runtime;
  readonly log: Log;
  readonly metrics: Metrics;
  /** The directory `~` and Flume's `user.home` stand for. */
  readonly home: string;
  /** The `-D` words, with what Flume's environment variables add; see `Definition.check`. */
  readonly systemProperties: ReadonlyMap<string, string>;
  /** Makes a part that an option of this component named. */
  makePart<T>(ref: PartRef): Promise<T>;
}
export interface SourceContext extends ComponentContext {
  readonly counters: SourceCounters;
  readonly channelProcessor: ChannelProcessor;
}
export interface ChannelContext extends ComponentContext {
  readonly counters: ChannelCounters;
}
export interface SinkContext extends ComponentContext {
  readonly counters: SinkCounters;
}
export interface SelectorContext extends ComponentContext {
  /** The source's channels by name, in the order of the source's `channels`. */
  readonly channels: ReadonlyMap<string, Channel>;
}
export interface SinkProcessorContext extends ComponentContext {
  /** The group's members by name, in the order of the group's `sinks`. Their own runner starts them. */
  readonly sinks: ReadonlyMap<string, Sink>;
}

/** Writes events as bytes of a file. One is made per file. */
export interface EventSerializer {
  /** Bytes that open a file. */
  header(): Buffer;
  /** The bytes of one event, appended to `into`. */
  write(event: Event, into: Buffer[]): void;
  /** Bytes that close a file. */
  footer(): Buffer;
}

/**
 * Cuts a file into events. `offset` is where the next read begins: after `read` it is the position
 * to record once the events are committed.
 */
export interface EventDeserializer {
  /** The next events, at most `max`; none only at the end of the file. */
  read(max: number): Promise<DeserializedEvent[]>;
}
export interface DeserializedEvent {
  readonly headers: ReadonlyMap<string, string>;
  readonly body: Buffer;
  /** Byte offset in the file right behind this event. */
  readonly endOffset: number;
}
/** What a deserializer reads from: a file that does not change, from an offset on. */
export interface DeserializerInput {
  readonly path: string;
  readonly startOffset: number;
  readonly charset: string;
  readonly decodeErrorPolicy: "FAIL" | "REPLACE" | "IGNORE";
  /** Reads up to `length` bytes at `position`; 0 at the end. */
  read(into: Buffer, offset: number, length: number, position: number): Promise<number>;
}
export type MakeSerializer = () => EventSerializer;
export type MakeDeserializer = (input: DeserializerInput) => EventDeserializer;

export type ComponentKind =
  | "source"
  | "channel"
  | "sink"
  | "interceptor"
  | "selector"
  | "sink-processor"
  | "sink-selector"
  | "serializer"
  | "deserializer";

interface Kinds {
  source: { context: SourceContext; made: Source };
  channel: { context: ChannelContext; made: Channel };
  sink: { context: SinkContext; made: Sink };
  interceptor: { context: ComponentContext; made: Interceptor };
  selector: { context: SelectorContext; made: ChannelSelector };
  "sink-processor": { context: SinkProcessorContext; made: Sink };
  "sink-selector": { context: ComponentContext; made: SinkSelector };
  serializer: { context: ComponentContext; made: MakeSerializer };
  deserializer: { context: ComponentContext; made: MakeDeserializer };
}

/** What a path through the component keeps, for `check` and the docs. */
export interface Guarantee {
  /**
   * Sources: whether it can send an event again that was not acknowledged. Channels: whether what
   * is committed survives. Sinks: whether `deliver` resolves only once the next hop or disk has it.
   */
  readonly atLeastOnce: boolean;
  /** When not: what is lost and when, as the end of "lost if ...". */
  readonly lostIf?: string;
}

export interface Definition<
  K extends ComponentKind = ComponentKind,
  S extends OptionSpecs = OptionSpecs,
> {
  readonly kind: K;
  /** Flume's type name, in lower case. */
  readonly type: string;
  /** Other names that mean this: Flume's class name first. */
  readonly aliases: readonly string[];
  readonly summary: string;
  readonly options: S;
  /** A property file, whole enough that `check` passes. The component is the one the example is of. */
  readonly example: string;
  readonly guarantee?: Guarantee;
  /**
   * Problems between options that no single one shows; the agent reports them with their line.
   * Some defaults are for all components at once, as system properties.
   */
  check?(
    options: OptionsOf<S>,
    systemProperties?: ReadonlyMap<string, string>,
  ): readonly { key: string; message: string }[];
  /**
   * What an operator should know of these options though nothing is wrong. Sink processors are told
   * the group's sinks.
   */
  notes?(
    options: OptionsOf<S>,
    sinks: readonly string[],
  ): readonly { key: string; message: string }[];
  /**
   * Selectors, sinks and sink processors: why events may overtake each other, as the end of "order not kept: ";
   * undefined when they do not.
   */
  breaksOrder?(options: OptionsOf<S>): string | undefined;
  /** Sources and sinks: the option that says how many events one transaction holds at most. */
  batchSize?(options: OptionsOf<S>): number;
  /** Channels: the options, by their names in code, that `Channel.reconfigure` takes. */
  readonly resizable?: readonly (keyof S & string)[];
  /** Channels: the options that say where its events lie; with others it would find none of them. */
  readonly home?: readonly (keyof S & string)[];
  /** Channels: how many events one transaction may hold. */
  transactionCapacity?(options: OptionsOf<S>): number;
  /** Loads the implementation and makes it. Opens and listens on nothing: that is `start`. */
  create(options: OptionsOf<S>, context: Kinds[K]["context"]): Promise<Kinds[K]["made"]>;
}

export type DefinitionInput<K extends ComponentKind, S extends OptionSpecs> = Omit<
  Definition<K, S>,
  "kind"
>;

function definer<K extends ComponentKind>(kind: K) {
  return <const S extends OptionSpecs>(input: DefinitionInput<K, S>): Definition<K, S> => ({
    kind,
    ...input,
  });
}

export const defineSource = definer("source");
export const defineChannel = definer("channel");
export const defineSink = definer("sink");
export const defineInterceptor = definer("interceptor");
export const defineSelector = definer("selector");
export const defineSinkProcessor = definer("sink-processor");
export const defineSinkSelector = definer("sink-selector");
export const defineSerializer = definer("serializer");
export const defineDeserializer = definer("deserializer");

/**
 * A component as the registry knows it before anything of it is loaded. The generated registry is
 * a list of these.
 */
export interface RegistryEntry {
  readonly kind: ComponentKind;
  readonly type: string;
  readonly aliases: readonly string[];
  readonly summary: string;
  readonly load: () => Promise<Definition>;
}
