/** Drivers of networks, by what makes networks: nyx itself, or CNI plugins. */
export const NETWORK_DRIVERS = {
  native: ["bridge", "macvlan", "ipvlan"],
  cni: ["bridge", "ptp", "macvlan"],
} as const;
