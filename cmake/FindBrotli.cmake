# Finds Brotli's decoder (RFC 7932), which brings no CMake package.
#
#   Brotli_FOUND
#   Brotli::dec   libbrotlidec and its header
include(FindPackageHandleStandardArgs)

find_path(Brotli_INCLUDE_DIR brotli/decode.h)
find_library(Brotli_DEC_LIBRARY brotlidec)
mark_as_advanced(Brotli_INCLUDE_DIR Brotli_DEC_LIBRARY)

find_package_handle_standard_args(Brotli REQUIRED_VARS Brotli_DEC_LIBRARY Brotli_INCLUDE_DIR)

if(Brotli_FOUND AND NOT TARGET Brotli::dec)
  add_library(Brotli::dec UNKNOWN IMPORTED)
  set_target_properties(Brotli::dec PROPERTIES
    IMPORTED_LOCATION "${Brotli_DEC_LIBRARY}"
    INTERFACE_INCLUDE_DIRECTORIES "${Brotli_INCLUDE_DIR}")
endif()
