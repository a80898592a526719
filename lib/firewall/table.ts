/** Which table is netmode's. */

export const tableName = 'netmode'
export const tableFamily = 'inet'
/** Where every op of the ruleset works. */
export const place = { family: tableFamily, table: tableName } as const
