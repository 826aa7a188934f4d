# Finds libidn2, internationalised domain names (UTS 46), which brings no CMake package.
#
#   IDN2_FOUND, IDN2_VERSION
#   IDN2::idn2   libidn2 and its header
include(FindPackageHandleStandardArgs)

find_path(IDN2_INCLUDE_DIR idn2.h)
find_library(IDN2_LIBRARY idn2)
mark_as_advanced(IDN2_INCLUDE_DIR IDN2_LIBRARY)

if(IDN2_INCLUDE_DIR AND EXISTS "${IDN2_INCLUDE_DIR}/idn2.h")
  file(STRINGS "${IDN2_INCLUDE_DIR}/idn2.h" _idn2_line REGEX "^#[ ]*define IDN2_VERSION \"[0-9.]+\"")
  if(_idn2_line MATCHES "\"([0-9.]+)\"")
    set(IDN2_VERSION "${CMAKE_MATCH_1}")
  endif()
endif()

find_package_handle_standard_args(IDN2
  REQUIRED_VARS IDN2_LIBRARY IDN2_INCLUDE_DIR
  VERSION_VAR IDN2_VERSION)

if(IDN2_FOUND AND NOT TARGET IDN2::idn2)
  add_library(IDN2::idn2 UNKNOWN IMPORTED)
  set_target_properties(IDN2::idn2 PROPERTIES
    IMPORTED_LOCATION "${IDN2_LIBRARY}"
    INTERFACE_INCLUDE_DIRECTORIES "${IDN2_INCLUDE_DIR}")
endif()
