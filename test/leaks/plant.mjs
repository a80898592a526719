// Loads the addon of plant.cc (its path is the argument) and ends by itself. scripts/sanitize.mjs leaks expects LeakSanitizer to complain.
process.dlopen({ exports: {} }, process.argv[2])
