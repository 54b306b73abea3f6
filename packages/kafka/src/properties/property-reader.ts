export interface PropertyRemark {
  /** Relative to the component: "kafka.producer.acks". */
  readonly key: string;
  readonly message: string;
}

/**
 * Reads properties that Kafka's own clients have, as an operator wrote them under a prefix. What
 * cannot be read is a problem and counts as its default; what nobody asked for is unknown.
 */
export class PropertyReader {
  readonly problems: PropertyRemark[] = [];
  readonly #prefix: string;
  readonly #properties: ReadonlyMap<string, string>;
  readonly #used = new Set<string>();

  constructor(prefix: string, properties: ReadonlyMap<string, string>) {
    this.#prefix = prefix;
    this.#properties = properties;
  }

  text(key: string): string | undefined {
    this.#used.add(key);
    return this.#properties.get(key);
  }

  integer(key: string, otherwise: number, limits: { min: number; max?: number }): number {
    const given = this.text(key);
    if (given === undefined) return otherwise;
    const { min, max = 2_147_483_647 } = limits;
    const value = /^[+-]?\d+$/.test(given) ? Number(given) : NaN;
    if (value >= min && value <= max) return value;
    this.problem(key, `"${given}" is not a whole number from ${min} to ${max}`);
    return otherwise;
  }

  boolean(key: string, otherwise: boolean): boolean {
    const given = this.text(key)?.toLowerCase();
    if (given === undefined) return otherwise;
    if (given === "true" || given === "false") return given === "true";
    this.problem(key, `"${given}" is not true or false`);
    return otherwise;
  }

  /** One of the words, in any case; `whyNot` says more about one that is none of them. */
  choice<W extends string>(
    key: string,
    words: readonly W[],
    otherwise: W,
    whyNot?: (given: string) => string | undefined,
  ): W {
    const given = this.text(key);
    if (given === undefined) return otherwise;
    const word = words.find((candidate) => candidate.toLowerCase() === given.toLowerCase());
    if (word !== undefined) return word;
    this.problem(key, whyNot?.(given) ?? `"${given}" is not ${words.join(", ")}`);
    return otherwise;
  }

  problem(key: string, message: string): void {
    this.problems.push({ key: `${this.#prefix}.${key}`, message });
  }

  /** Of these keys, those that were given, with the reason why they do nothing here. */
  ignored(reasons: Readonly<Record<string, string>>): PropertyRemark[] {
    const remarks: PropertyRemark[] = [];
    for (const [key, message] of Object.entries(reasons)) {
      if (this.text(key) !== undefined) remarks.push({ key: `${this.#prefix}.${key}`, message });
    }
    return remarks;
  }

  /** Those that nobody asked for. */
  unknown(): PropertyRemark[] {
    return [...this.#properties.keys()]
      .filter((key) => !this.#used.has(key))
      .map((key) => ({
        key: `${this.#prefix}.${key}`,
        message: "is a property of Kafka's Java client that is not used here",
      }));
  }
}
