/**
 * Addresses as people and Deno's permission flags spell them.
 *
 * @module
 */

/** A place to connect to, such as `127.0.0.1:8080` or `[::1]:8080`. */
export function formatAddress(host: string, port: number): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}
