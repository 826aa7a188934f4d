# Finds libpsl, the public suffix list, which brings no CMake package.
#
#   PSL_FOUND, PSL_VERSION
#   PSL::psl   libpsl and its header
include(FindPackageHandleStandardArgs)

find_path(PSL_INCLUDE_DIR libpsl.h)
find_library(PSL_LIBRARY psl)
mark_as_advanced(PSL_INCLUDE_DIR PSL_LIBRARY)

if(PSL_INCLUDE_DIR AND EXISTS "${PSL_INCLUDE_DIR}/libpsl.h")
  file(STRINGS "${PSL_INCLUDE_DIR}/libpsl.h" _psl_line REGEX "^#define PSL_VERSION \"[0-9.]+\"")
  if(_psl_line MATCHES "\"([0-9.]+)\"")
    set(PSL_VERSION "${CMAKE_MATCH_1}")
  endif()
endif()

find_package_handle_standard_args(PSL
  REQUIRED_VARS PSL_LIBRARY PSL_INCLUDE_DIR
  VERSION_VAR PSL_VERSION)

if(PSL_FOUND AND NOT TARGET PSL::psl)
  add_library(PSL::psl UNKNOWN IMPORTED)
  set_target_properties(PSL::psl PROPERTIES
    IMPORTED_LOCATION "${PSL_LIBRARY}"
    INTERFACE_INCLUDE_DIRECTORIES "${PSL_INCLUDE_DIR}")
endif()
