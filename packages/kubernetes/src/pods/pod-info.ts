/** What the agent keeps of a pod: long texts are cut. What the API server leaves out is empty. */
export interface PodInfo {
  readonly namespace: string;
  readonly name: string;
  /** The API server's. */
  readonly uid: string;
  readonly node: string;
  readonly labels: ReadonlyMap<string, string>;
  readonly annotations: ReadonlyMap<string, string>;
  /** By container name; init and ephemeral containers too. */
  readonly containers: ReadonlyMap<string, { readonly image: string }>;
}
