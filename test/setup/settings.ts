/** The sysctls of a namespace, in a form that can be compared. */
import type { PrivateNamespace } from './namespace.js'

/** Each setting of IPv4 and IPv6 that the kernel does not change by itself, as `ipv4/ip_forward:1`. */
export async function settings(namespace: PrivateNamespace): Promise<readonly string[]> {
  const script = 'cd /proc/sys/net; grep -H . ipv4/ip_forward; grep -rHs . ipv4/conf ipv6/conf; true'
  const text = await namespace.run('sh', '-c', script)
  return text
    .trim()
    .split('\n')
    .filter(line => !line.includes('stable_secret'))
    .sort()
}
