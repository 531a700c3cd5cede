// Keys go to the console from the first moment: nobody has to click into it.
function focusConsole() {
  const field = document.querySelector(".xterm-helper-textarea");
  if (field) field.focus();
  return Boolean(field);
}
window.addEventListener("focus", focusConsole);
const look = setInterval(() => focusConsole() && clearInterval(look), 50);
