/** Links of netmode carry this group from birth, so that one that a crash left without a name tag is still known as ours. */
export const linkGroup = 0x6e6d
