/** Which tables are netmode's. */

export const tableName = 'netmode'
export const tableFamily = 'inet'
/** Where every op of the ruleset works. */
export const place = { family: tableFamily, table: tableName } as const
/** Where those work that look at frames. */
export const bridgePlace = { family: 'bridge', table: tableName } as const

/**
 * Behind the standard priorities (raw -300, dstnat -100, filter 0, srcnat 100) by 5: rules that an administrator, Docker or
 * iptables put at the standard place are always asked first, firewalld's (standard + 10) after ours, and never is anyone's order
 * left to chance by being equal.
 */
export const behind = { raw: -295, dstnat: -95, filter: 5, srcnat: 105 } as const
