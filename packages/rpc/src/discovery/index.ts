export type { Host, HostList, HostListOptions } from "./host-list.ts";
export {
  formatHost,
  type HostAddress,
  hostAddressProblem,
  parseHostAddress,
} from "./host-address.ts";
export { openHostList } from "./open-host-list.ts";
export {
  type ConsulClient,
  openConsulClient,
  type ServiceCheck,
  type ServiceRegistration,
} from "./consul-client.ts";
export {
  type ConsulSettings,
  type ConsulSettingsInput,
  readConsulSettings,
} from "./consul-settings.ts";
