// Only adds comfort: pages work without it.
(() => {
  'use strict';

  // Times in the zone of the reader.
  const lang = document.documentElement.lang || undefined;
  const days = new Intl.DateTimeFormat(lang, { dateStyle: 'medium' });
  const moments = new Intl.DateTimeFormat(lang, { dateStyle: 'medium', timeStyle: 'short' });
  for (const time of document.querySelectorAll('.ak time[data-ak-local]')) {
    const moment = new Date(time.dateTime);
    if (!isNaN(moment)) {
      const isDay = time.dataset.akLocal === 'day';
      time.title = isDay ? moments.format(moment) : time.textContent;
      time.textContent = (isDay ? days : moments).format(moment);
    }
  }

  // Copying. Where the clipboard is out of reach, the text is selected.
  for (const button of document.querySelectorAll('[data-ak-copy]')) {
    const label = button.textContent;
    const name = button.getAttribute('aria-label');
    const say = text => {
      button.textContent = text;
      button.setAttribute('aria-label', text);
      setTimeout(() => {
        button.textContent = label;
        button.setAttribute('aria-label', name);
      }, 4000);
    };
    button.hidden = false;
    button.setAttribute('aria-live', 'polite');
    button.addEventListener('click', async () => {
      const source = document.getElementById(button.dataset.akCopy);
      try {
        await navigator.clipboard.writeText(source.textContent);
        say(button.dataset.akDone);
      } catch {
        getSelection().selectAllChildren(source);
        say(button.dataset.akFailed);
      }
    });
  }

  // Boxes of single abilities count at one level, and are sent only there. Those that the server asks to clear stay.
  const byResource = document.querySelector('input[name=access][value=custom]');
  for (const resource of document.querySelectorAll('.ak-resource')) {
    const custom = resource.querySelector('input[type=radio][value=custom]');
    if (!custom) continue;
    const update = () => {
      const counts = custom.checked && (byResource.type === 'hidden' || byResource.checked);
      for (const box of resource.querySelectorAll('input[type=checkbox]')) box.disabled = !counts;
    };
    document.addEventListener('change', event => {
      if (event.target.type === 'radio') update();
    });
    if (!resource.closest('.ak-form').querySelector('.ak-open')) addEventListener('pageshow', update);
  }

  // So does a date.
  const date = document.querySelector('.ak-date input');
  if (date) {
    const choices = [...document.querySelectorAll('input[type=radio][name=expiry]')];
    const update = () => { date.disabled = !choices.some(choice => choice.checked && choice.value === 'date'); };
    for (const choice of choices) choice.addEventListener('change', update);
    if (!date.closest('.ak-open')) addEventListener('pageshow', update);
  }

  // A form is sent once. A page that comes back from the cache can send it again.
  for (const form of document.querySelectorAll('form[data-ak-once]')) {
    let sent = false;
    form.addEventListener('submit', event => {
      if (sent) event.preventDefault();
      sent = true;
    });
    addEventListener('pageshow', () => { sent = false; });
  }

  // A secret is not left behind without being stored, and not left lying about.
  const leave = document.querySelector('[data-ak-leave]');
  if (leave) {
    const ask = event => event.preventDefault();
    addEventListener('beforeunload', ask);
    leave.querySelector('[data-ak-stored]').addEventListener('click', () => {
      removeEventListener('beforeunload', ask);
    });
  }
  addEventListener('pagehide', () => {
    for (const secret of document.querySelectorAll('[data-ak-secret]')) secret.textContent = '';
  });
})();
