// An addon that loses memory when it is loaded: what the leak check has to see.
#include <cstdlib>
#include <cstring>

namespace {

void *volatile planted = nullptr;

}  // namespace

extern "C" void *napi_register_module_v1(void *, void *exports) {
  planted = std::malloc(4321);
  std::memset(planted, 1, 4321);
  planted = nullptr;
  return exports;
}
