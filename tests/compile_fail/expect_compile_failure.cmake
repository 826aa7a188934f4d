# cmake -DCOMPILER=<c++> -DFLAGS_FILE=<response file> -DSOURCE=<file> -DMESSAGE=<regex> [-DCONTROL=ON] -P <this>
#
# Succeeds when SOURCE is refused by the compiler with a message that matches MESSAGE.
foreach(variable IN ITEMS COMPILER FLAGS_FILE SOURCE MESSAGE)
  if("${${variable}}" STREQUAL "")
    message(FATAL_ERROR "${variable} is not set")
  endif()
endforeach()

# Messages in the language of the regex, whatever the locale of the machine.
set(ENV{LC_ALL} C)

function(compile out_result out_output)
  execute_process(
    COMMAND "${COMPILER}" "@${FLAGS_FILE}" ${ARGN} -fsyntax-only "${SOURCE}"
    RESULT_VARIABLE result
    OUTPUT_VARIABLE output
    ERROR_VARIABLE output)
  # Anything but a number is a compiler that could not be started or was killed: no verdict at all.
  if(NOT result MATCHES "^[0-9]+$")
    message(FATAL_ERROR "${COMPILER} gave no verdict: ${result}\n${output}")
  endif()
  set(${out_result} "${result}" PARENT_SCOPE)
  set(${out_output} "${output}" PARENT_SCOPE)
endfunction()

if(CONTROL)
  compile(result output)
  if(NOT result EQUAL 0)
    message(FATAL_ERROR "${SOURCE} must compile without DORMOUSE_COMPILE_FAIL, but:\n${output}")
  endif()
endif()

compile(result output -DDORMOUSE_COMPILE_FAIL)
if(result EQUAL 0)
  message(FATAL_ERROR "${SOURCE} compiles, and must not")
endif()
if(NOT output MATCHES "${MESSAGE}")
  message(FATAL_ERROR "${SOURCE} does not compile, but no message matches '${MESSAGE}':\n${output}")
endif()
