"""Golden cases of the verifier, one line each: `gold | answer` under the verdict they deserve.

A blank after the bar belongs to nothing; ` | ` separates, so answers with a bar of their own keep
it unspaced. The headings name the form that is tried; they are the ids of the tests.
"""

import verifier_cases_fresh as fresh
import verifier_cases_second as second

RIGHT = r"""
# integers and decimals
14 | 14
14 | 14.0
-3 | -3
-3 | −3
0 | -0
7 | +7
2 | 2.
.5 | 0.5
0.50 | \frac12
1.25 | 5/4
12345 | 12,345
12{,}345 | 12345
12,\!345 | 12345
1,234,567 | 1234567
10\,000 | 10,000
10 000 | 10000
$72$ | 72
\(72\) | 72
72 | \[72\]
72 | $$72$$
72 | **72**
72 | 72.
3.14 | 3.140
2,004 | 2004
1,000,000 | 10^6
# fractions
3/2 | 6/4
\frac{3}{2} | 1.5
\frac12 | 0.5
\frac12 | 1/2
\frac{1}{72} | \frac1{72}
\dfrac{3}{4} | \tfrac34
-\frac{2}{3} | \frac{-2}{3}
-\frac{2}{3} | \frac{2}{-3}
-\frac{2}{3} | -2/3
\frac{-1}{-2} | 1/2
\frac 3 4 | 3/4
\frac 34 | 0.75
\cfrac{5}{8} | 0.625
\frac{a}{b} | a/b
\frac ab | a/b
\frac{\frac12}{3} | 1/6
1\frac12 | 3/2
3\frac{1}{2} | 3.5
3 \frac{1}{2} | 7/2
3 1/2 | 7/2
-3\frac12 | -3.5
2\tfrac{3}{4} | 11/4
3½ | 3.5
½ | 0.5
\frac{1}{2} | 1 / 2
\frac{11}{2} | 5\frac{1}{2}
\frac{14}{3} | 14 \div 3
\left(\frac{1}{2}\right) | 1/2
{\frac{1}{2}} | 1/2
\frac{7}{3} | 2 + 1/3
# repeating decimals
\frac13 | 0.\overline{3}
0.\overline{3} | 1/3
\frac16 | 0.1\overline{6}
\frac{1}{7} | 0.\overline{142857}
\frac13 | 0.333...
\frac{1}{6} | 0.1666\ldots
1 | 0.\overline{9}
\frac{5}{11} | 0.\bar{45}
\frac{4}{9} | 0.(4)
# powers and scientific notation
1024 | 2^{10}
2^{10} | 1024
1.5\times 10^6 | 1500000
6.02 \times 10^{23} | 6.02e23
3\cdot10^{-4} | 0.0003
2.5e-3 | 0.0025
10^{100} | 10**100
2^{2^3} | 256
(-2)^3 | -8
-2^2 | -4
2^{-1} | 0.5
4^{1/2} | 2
27^{\frac{2}{3}} | 9
(-8)^{1/3} | -2
3^4 \cdot 5 | 405
5! | 120
\binom{5}{2} | 10
{5 \choose 2} | 10
\frac{10!}{8!} | 90
2^{100} | 4^{50}
# roots
\sqrt{12} | 2\sqrt{3}
2\sqrt3 | 2*sqrt(3)
3\sqrt{13} | 3*sqrt(13)
3\sqrt{13} | 3sqrt13
3\sqrt{13} | 3√13
3\sqrt{13} | \sqrt{117}
3\sqrt{13} | 3\sqrt13
\frac{\sqrt{3}}{3} | \frac{1}{\sqrt{3}}
\frac{\sqrt3}{3} | 1/sqrt(3)
\frac{\sqrt{2}}{2} | sqrt(2)/2
\sqrt[3]{16} | 2\sqrt[3]{2}
\sqrt[3]{2} | 2^{1/3}
\sqrt[3]{-27} | -3
\sqrt{2}\sqrt{3} | \sqrt{6}
\frac{1}{1+\sqrt{2}} | \sqrt{2}-1
\sqrt{3+2\sqrt{2}} | 1+\sqrt{2}
1+\sqrt2 | \sqrt2+1
\frac{5+\sqrt{17}}{2} | (5+sqrt(17))/2
\frac{5+\sqrt{17}}{2} | 2.5+0.5\sqrt{17}
\sqrt{\frac{3}{4}} | \frac{\sqrt3}{2}
\sqrt{50}+\sqrt{8} | 7\sqrt{2}
2^{3/2} | 2\sqrt2
\sqrt{-4} | 2i
\sqrt[4]{16} | 2
\sqrt{x}\sqrt{x} | x
\sqrt{4x} | 2\sqrt{x}
cbrt(5) | \sqrt[3]{5}
\frac{3\sqrt{3}}{4} | \frac{3\sqrt{3}}{4}
6 - 2\sqrt{5} | (\sqrt5-1)^2
# pi, e, logarithms, trigonometry
\frac{\pi}{2} | pi/2
288\pi | 288pi
288\pi | 288π
288\pi | 288 \cdot \pi
288\pi | 288*pi
\frac{2\pi}{3} | \frac{2}{3}\pi
\frac{2\pi}{3} | 2pi/3
\pi | \frac{180\pi}{180}
25\pi - 50 | 25(\pi-2)
16\pi+8\sqrt{3} | 8*sqrt(3)+16*pi
\pi r^2 | r^2\pi
\frac{4}{3}\pi r^3 | (4/3)*pi*r^3
e^2 | e*e
e^{2x} | exp(2x)
\ln 8 | 3\ln 2
\ln 2 | ln(2)
\ln 2 | \log 2
\log_2 3 | \frac{\ln 3}{\ln 2}
3 | \log_2 8
2 | \log_{10} 100
\log_{10} 2 | \lg 2
\frac{\sqrt3}{2} | \sin 60^\circ
\frac12 | \cos\frac{\pi}{3}
\sin 2x | 2\sin x\cos x
\sin^2 x | 1-\cos^2 x
\tan x | \frac{\sin x}{\cos x}
\arctan 1 | \frac{\pi}{4}
\sin^{-1}(1) | pi/2
\cos 2x | 1-2\sin^2 x
\sec x | 1/cos(x)
\frac{\pi}{6} | \arcsin(1/2)
\frac{1+\sqrt5}{4} | \cos 36^\circ
2\cos\theta | 2cos(θ)
\cos^2\theta | cos(theta)^2
e^{i\pi} | -1
# polynomials and expressions
4x+7 | 7+4x
3x-2 | 3*x-2
-x+5 | 5-x
x^2+2x+1 | (x+1)^2
x^2-1 | (x-1)(x+1)
(x-1)(x+1) | (x+1)(x-1)
x^3 + 3x^2 + 3x + 1 | (1+x)^3
2(x+3) | 2x+6
x^2 + 5x | x(x+5)
\frac{x+1}{2} | 0.5x+0.5
\frac{x}{2} | \frac12x
\frac{x^2-1}{x-1} | x+1
\frac{1}{x}+\frac{1}{y} | \frac{x+y}{xy}
x^{-2} | 1/x^2
a^2+2ab+b^2 | (a+b)^2
xy | yx
2x^2y | 2*x**2*y
n(n+1)/2 | \frac{n^2+n}{2}
6x^5 | 6 \cdot x^5
x² + 1 | x^2+1
|x-1| | |1-x|
\frac{2}{3}x - \frac{1}{4} | (8x-3)/12
x_1 + x_2 | x_2+x_1
2^{n+1} | 2*2^n
3e-1 | -1+3e
t^2 - 4t | t(t-4)
p - q | -q+p
\alpha + \beta | \beta+\alpha
\lfloor 2.5 \rfloor | 2
2^n - 1 | -1+2^n
\frac{x}{y} | x y^{-1}
# complex numbers
2+351i | 351i+2
3-4i | 3 - 4i
(1+i)^2 | 2i
\frac{1}{i} | -i
i^2 | -1
-5-5i\sqrt{3} | -5-5sqrt(3)i
\frac{1+i}{1-i} | i
6 - 5i | 6+(-5)i
# names and equations
5 | x=5
x=5 | 5
x = 5 | 5 = x
5 | x = 2+3 = 5
y = 2x+3 | y=3+2x
y = 2x+3 | 2x+3
2x+3 | y=2x+3
2x+3 | f(x) = 2x+3
2x - y + 3 = 0 | y=2x+3
x+y=3 | 2x+2y=6
x^2+y^2=25 | y^2+x^2-25=0
\frac{x^2}{9}+\frac{y^2}{4}=1 | 4x^2+9y^2=36
(x-1)^2+(y+2)^2=9 | x^2-2x+y^2+4y-4=0
10 | AB = 10
30 | \angle ABC = 30
30^\circ | \angle A = 30^\circ
\frac{1}{6} | P(A) = \frac16
12 | \text{Area} = 12
5 | |z| = 5
\frac{1}{3} | \frac13 \approx 0.333
3x+4y=12 | 12 = 4y+3x
y = -\frac{1}{2}x + 4 | x + 2y = 8
x = 1, y = 2 | y=2, x=1
(1,2) | x=1, y=2
1, 2 | x=1 or x=2
1, 2 | x_1 = 1, x_2 = 2
\theta = \frac{\pi}{4} | pi/4
# inequalities and intervals
x>3 | (3,\infty)
x > 3 | 3 < x
x\ge 3 | [3,\infty)
x \geq 3 | x>=3
-2<x\le 5 | (-2,5]
(-2,5] | -2 < x <= 5
(-\infty,3) | x<3
(-\infty, 3) | (-oo, 3)
(-\infty,3) | (-inf,3)
(-∞,3) | (-infinity, 3)
x\in(-\infty,3) | (-\infty,3)
[0,1] | 0\le x\le 1
[0,1] | x \in [0, 1]
(-\infty,-1)\cup(1,\infty) | (1,\infty)\cup(-\infty,-1)
(-\infty,-1)\cup(1,\infty) | x<-1 or x>1
(-\infty,-1)\cup(1,\infty) | x<-1 \text{ or } x>1
(-\infty,-1)\cup(1,\infty) | (-oo,-1) U (1,oo)
(-\infty,1)\cup(1,\infty) | x \ne 1
(-\infty,1)\cup(1,\infty) | \mathbb{R}\setminus\{1\}
(-\infty,\infty) | \mathbb{R}
(-\infty,\infty) | all real numbers
[1,2)\cup[2,3] | [1,3]
[1,3] | [1,2]\cup(2,3]
[1,3] | [1,2]\cup[2,3]
\left(\frac12, \sqrt2\right] | (0.5, sqrt(2)]
[-1,1] | \{x \mid -1 \le x \le 1\}
\{x : x > 2\} | (2,\infty)
x>1 and x<3 | (1,3)
y < 2x+1 | 2x+1 > y
2x+3y<6 | 6>3y+2x
[2,5) | [2, 5)
\left[\frac{1}{2},\infty\right) | [0.5, ∞)
(-\infty, -3] \cup \{0\} | \{0\} \cup (-\infty,-3]
\emptyset | no solution
\emptyset | \{\}
\varnothing | no real solutions
# lists, sets, tuples
1,2,3 | 3, 2, 1
1,2 | 2,1
\{1,2\} | 2, 1
1,2 | \{2,1\}
1,2 | {1, 2}
1, 2 | 1 and 2
1,2 | 1\text{ and }2
1,-2 | 1 or -2
1, 2, 3 | 1, 2, and 3
(1,2) | (1, 2)
(1,2) | (2/2, 4/2)
(1,-2) | \left(1,-2\right)
(3, \frac{\pi}{2}) | (3, pi/2)
\left( 3, \frac{\pi}{2} \right) | (3,π/2)
(100,200) | (100, 200)
(1,2),(3,4) | (3,4),(1,2)
\{(1,2),(3,4)\} | (3,4), (1,2)
\frac12, \frac13 | 1/3, 1/2
\sqrt2, -\sqrt2 | -sqrt(2), sqrt(2)
(1,2,3) | \langle 1,2,3\rangle
(0,0) | (0,0)
\{-1,0,1\} | \{0, \pm 1\}
100,200 | 200, 100
# plus-minus
\pm 2 | 2,-2
\pm2 | -2, 2
2,-2 | ±2
1\pm\sqrt{2} | 1+\sqrt2, 1-\sqrt2
1 \pm \sqrt2 | 1-\sqrt2, 1+\sqrt2
x = \pm 3 | x=3 or x=-3
\frac{3\pm\sqrt{5}}{2} | \frac{3-\sqrt5}{2}, \frac{3+\sqrt5}{2}
1\pm 2i | 1+2i, 1-2i
3, -1 | 1\pm2
\pm1\pm\sqrt2 | 1+\sqrt2, 1-\sqrt2, -1+\sqrt2, -1-\sqrt2
\pm1\mp\sqrt2 | 1-\sqrt2, \sqrt2-1
\pm i | i, -i
# matrices and vectors
\begin{pmatrix}1&2\\3&4\end{pmatrix} | [[1,2],[3,4]]
\begin{pmatrix}1&2\\3&4\end{pmatrix} | \begin{bmatrix}1&2\\3&4\end{bmatrix}
\begin{pmatrix} 1 \\ 2 \end{pmatrix} | \begin{pmatrix}1\\2\end{pmatrix}
\begin{pmatrix} 1 \\ -2 \end{pmatrix} | (1,-2)
\begin{pmatrix} 1/2 \\ 3 \end{pmatrix} | \begin{pmatrix} 0.5 \\ 3 \end{pmatrix}
\begin{pmatrix} 1 & 0 \\ 0 & 1 \end{pmatrix} | Matrix([[1, 0], [0, 1]])
\frac12\begin{pmatrix}2\\4\end{pmatrix} | \begin{pmatrix}1\\2\end{pmatrix}
\begin{pmatrix}1\\2\end{pmatrix} | \begin{array}{c}1\\2\end{array}
\begin{pmatrix} \frac{1}{3} \\[2pt] 2 \end{pmatrix} | \begin{pmatrix} 1/3 \\ 2 \end{pmatrix}
\begin{pmatrix} 3 \\ 4 \end{pmatrix} | \langle 3, 4 \rangle
\begin{pmatrix} -7 \\ 16 \\ 5 \end{pmatrix} | \begin{bmatrix} -7 \\ 16 \\ 5 \end{bmatrix}
# percent
35\% | 35
35\% | 35\%
35\% | 35%
35\% | 0.35
35\% | 35 percent
35 | 35\%
0.35 | 35\%
12.5\% | \frac18
\frac{100}{3}\% | 33\frac13\%
20\% | 20 \%
# units and money
5\text{ cm} | 5
5 \text{ cm} | 5 cm
5\text{ cm} | 5cm
5\text{ cm} | 5 \mathrm{cm}
5\text{ cm} | 5 centimeters
5 | 5\text{ cm}
5 | 5 cm
5.4\text{ cents} | 5.4cents
5.4 | 5.4cents
5.4 | 5.4 cents
12\text{ cm}^2 | 12 square centimeters
12\text{ cm}^2 | 12\text{ cm}^{2}
12 \text{ square units} | 12
12\mbox{ inches}^2 | 12 square inches
12 | 12 units^2
5\text{ m} | 5 m
5\text{ m} | 5m
10 \text{ m/s} | 10 m/s
60 \text{ miles per hour} | 60 mph
60 | 60 miles per hour
\$5 | 5
\$5 | \$5.00
\$5 | 5 dollars
\$5 | $5
5 | \$5
\$32,\!500 | \$32500
\$1.50 | 1.5
12.50 | \$12.50
7 \text{ apples} | 7
7 | 7 apples
7 | 7\text{ students}
90^\circ | 90
90 | 90^\circ
90^\circ | 90 degrees
90^{\circ} | 90°
90^\circ | 90\text{ degrees}
2\pi\text{ cm} | 2pi cm
5\sqrt{2} \text{ cm} | 5*sqrt(2)
3\text{ hours} | 3 hrs
1.5 million | 1500000
12\text{ years old} | 12
12 \text{ ft} | 12 feet
15\text{ minutes} | 15 min
250 \text{ cm}^3 | 250 cubic centimeters
4\text{ cm, } | 4
12^{\text{th}} | 12
12th | 12
# text
\text{Monday} | Monday
\text{Monday} | monday
\text{Evelyn} | Evelyn
\text{even} | Even
\text{Yes} | yes
yes | Yes.
\text{ellipse} | an ellipse
\text{(A)} | A
\text{(C)} | C
\text{(C)} | (C)
\textbf{(C)} | \text{C}
(C) | C
C | \text{C}
C | (C)
C | \textbf{(C)}
C | C.
\text{no} | No
\text{six} | 6
\text{Alice} | \mathrm{Alice}
\text{neither} | neither
\text{DNE} | does not exist
right | \text{right}
\text{three} | \text{Three}
# numbers in base n
52_8 | 52
52_8 | 52_8
52_8 | 52_{8}
52 | 52_8
101_2 | 101_{2}
2A3_{16} | 2A3_{16}
2A3_{16} | 2A3
11010_{\text{two}} | 11010_2
1,\!212_3 | 1212_3
# ratios
3:4 | 3:4
3:4 | 6:8
3:4 | \frac34
1:2:3 | 1:2:3
3:4 | 3 : 4
# a choice with its text
\text{(C)} | (C) 12
C | C) 12
C | \textbf{(C) } 12
# identities
\frac{2\tan x}{1-\tan^2x} | \tan 2x
\tan\frac{x}{2} | \frac{1-\cos x}{\sin x}
\cos 4x | 8\cos^4 x-8\cos^2 x+1
\sqrt2\sin(x+\frac{\pi}{4}) | \sin x+\cos x
\frac{e^x+e^{-x}}{2} | \cosh x
\cos 20^\circ\cos 40^\circ\cos 80^\circ | 1/8
\sqrt{7+4\sqrt3} | 2+\sqrt3
\log_a b | \frac{\ln b}{\ln a}
\log_2(x^3) | 3\log_2 x
2k\pi+\frac{\pi}{3} | \frac{\pi}{3}+2\pi k
2x e^{x^2} | 2*x*exp(x**2)
# words, wrappers, odd spellings
B | Choice B
\text{(B)} | Option B
\text{Mr. Smith} | Mr Smith
\text{not possible} | Not possible
A5_{16} | A5
DEF_{16} | DEF
3\times10^8\text{ m/s} | 3e8 m/s
\phantom{0}12 | 12 \hspace{1cm}
\textcolor{red}{12} | \underline{12}
14{,}916 | 14 {, }916
28\% | 28 pct
# habits of several models and of MATH's golds
\text{B,E} | B, E
\text{II and III} | II, III
\left\{\pm\frac{1}{3},\pm 1\right\} | 1/3, -1/3, 1, -1
\{1\pm\sqrt{5},-2\} | 1+sqrt(5), 1-sqrt(5), -2
(-\infty,-2)\cup(-2,3) | (-oo,-2)∪(-2,3)
6:30 \text{ p.m.} | 6:30 PM
5:00 \text{ p.m.} | 5:00 pm
1.5 \times 10^6 | 1.5 x 10^6
(1,2) | (x,y)=(1,2)
(1,2,3) | (a,b,c) = (1,2,3)
\begin{pmatrix}1\\2\end{pmatrix} | <1, 2>
3 | 3 \text{ radians}
98.6 | 98.6^\circ F
98.6^\circ\text{F} | 98.6°F
(-\infty,2]\cup[3,\infty) | (-\infty, 2] \text{ or } [3, \infty)
(-\infty,0)\cup(0,\infty) | \mathbb{R} - \{0\}
(-\infty,0)\cup(0,\infty) | x \in \mathbb{R}, x \neq 0
\text{infinitely many} | infinitely many
3:4 | 3 to 4
3:4 | 3 \text{ to } 4
\frac{3}{4} | \displaystyle \frac{3}{4}
\frac{3}{4} | \boxed{\frac34}
-\frac{35}{9} | -35/9
5\frac{1}{2} \text{ feet} | 5.5
\$12.50 | 12.50 dollars
\$0.75 | 0.75
18\text{ mph} | 18 \text{ miles/hour}
4\sqrt{3}+6 | 6+4√3
(3,4] | 3 < x ≤ 4
\tan\theta | tan(θ)
\cot x | cos(x)/sin(x)
-\sin t | -sin(t)
x^4-x^3+x^2-x+1 | 1 - x + x^2 - x^3 + x^4
\frac{5}{9}(F-32) | 5(F-32)/9
120^\circ, 60^\circ | 60, 120
2^8\cdot3 | 768
11\sqrt2 | 11*2**0.5
11\sqrt2 | 11*2^(1/2)
\frac{\sqrt[3]{4}}{2} | 4^(1/3)/2
5x-7y+11z+4=0 | 11z - 7y + 5x = -4
AC | CA
\overline{AB} | \overline{AB}
(-1)^n | (-1)^n
\frac{n(n+1)(2n+1)}{6} | n(n+1)(2n+1)/6
2 \pm \sqrt{3} | 2-sqrt(3), 2+sqrt(3)
\frac{-1 \pm i\sqrt{3}}{2} | -1/2+sqrt(3)/2*i, -1/2-sqrt(3)/2*i
3\sqrt{2}-3 | 3(\sqrt{2}-1)
\frac{1}{2}\ln 2 | ln(2)/2
\ln\frac{1}{2} | -\ln 2
\log_{3} 5 | log(5)/log(3)
\log_3 5 | \log_{3}(5)
e^{-1} | 1/e
\sqrt{5} \text{ units} | √5
(2, 5) | 2, 5
\text{Circle} | circle
17 | \text{17}
-2 | \text{-}2
\frac{1}{4} | 25\%
x^{\frac{2}{3}} | x^(2/3)
\sqrt{x} | x^{1/2}
\sqrt{x^3} | x^{3/2}
\sqrt{xy} | \sqrt{x}\sqrt{y}
2\sqrt{x+1} | \sqrt{4x+4}
(x+1)\sqrt{x+1} | (x+1)^{3/2}
\sqrt{x+1}\cdot\sqrt{x+1} | x+1
1-\frac{1}{2^{n}} | 1-2^{-n}
\frac{2^n-1}{2^n} | 1-(1/2)^n
\frac{12!}{6!6!} | 924
\binom{12}{6} | 924
\binom{n}{2} | n(n-1)/2
2 \sqrt{2} \approx 2.83 | 2\sqrt{2}
2\sqrt{2} | 2\sqrt{2} \approx 2.83
1,2,3,4 | \{1,2,3,4\}
1<x<3 | (1,3)
x<-1\text{ or }x\geq 2 | (-\infty,-1)\cup[2,\infty)
\text{Sunday} | \text{sunday.}
72^\circ | 72^{\circ}
\frac{\pi}{4} \text{ square units} | pi/4
10\pi \text{ inches} | 10pi in
0.\overline{27} | \frac{3}{11}
4,000 | 4000.00
\$1{,}000{,}000 | 1 million dollars
3x^2 + 2x - 1 | (3x-1)(x+1)
f(x)=x^2 | y=x^2
f^{-1}(x) = x-1 | x-1
y=\sqrt{x} | \sqrt{x}
\frac{8}{3}\sqrt{2} | 8√2/3
\text{True} | true
\text{odd} | Odd
13 \text{ cm by } 5 \text{ cm} | 13 cm by 5 cm
\frac{x^2}{16} - \frac{y^2}{9} = 1 | 9x^2-16y^2=144
z = 3+4i | 3+4i
\sqrt{2}\,e^{i\pi/4} | 1+i
\cos\frac{\pi}{7} | \cos(\pi/7)
\sin^2\theta+\cos^2\theta | 1
\frac{1}{\sqrt{x}} | \frac{\sqrt{x}}{x}
|x|\le 2 | |x| \leq 2
-10 | -10\ 
x = -3, 5 | x=-3 or x=5
x=-3,5 | -3, 5
\{-3, 5\} | x = -3, x = 5
(4,-2) | (4, -2)
\left(-\frac{3}{2}, -39\right) | (-3/2, -39)
90 | 90.0°
49\text{ s} | 49 seconds
0.08\overline{3} | 1/12
1200 | 1.2e3
3 | three
\text{seven} | 7
5 \text{ or } 6 | 5, 6
[2,\infty) | x \geq 2
2\text{ hr } 30\text{ min} | 2 hr 30 min
64\text{ in}^3 | 64 cubic inches
$\frac{1}{2}$ | 1/2
y = (x-2)^2 | y = x^2-4x+4
(x-2)^2 = y | y = x^2-4x+4
2 + \sqrt{3} i | 2+i\sqrt3
A = \pi r^2 | \pi r^2
S_n = n^2 | n^2
3^{2} \cdot 7 | 3^2 * 7
10^{-3} | .001
\frac{1}{3}, 3 | 3 and 1/3
\text{Both} | both
16\% | 4/25
7/8 \text{ inches} | 0.875
x\geq0 | [0, \infty)
25,\!000 | 25000
25 \frac{1}{2} | 25.5
\frac{7\pi}{6}, \frac{11\pi}{6} | 11pi/6, 7pi/6
\arccos \frac{1}{3} | arccos(1/3)
\arccos \frac{1}{3} | acos(1/3)
\arctan 2 | tan^{-1}(2)
\frac{x+3}{(x-1)(x+2)} | (x+3)/((x-1)(x+2))
\frac{x+3}{x^2+x-2} | (x+3)/((x-1)*(x+2))
\sqrt{1-x^2} | (1-x^2)^(1/2)
\$20 per hour | 20
\text{$20} | 20
\left(\begin{array}{cc}1&2\\3&4\end{array}\right) | \begin{pmatrix}1&2\\3&4\end{pmatrix}
7.5 \text{ km/h} | 7.5 km/h
\text{four} | 4
\{x\in\mathbb{R}: x>3\} | x>3
x^2 | x*x
8! | 40320
-\infty | -oo
{\bf 5} | 5
5 \text{ units}^2 | 5
\mathrm{(A)} | A
5\% | 5 percent
(0.5, 3) | (1/2, 3)
a=3,b=4 | (3,4)
\frac{1}{x-1} | -1/(1-x)
0.125 | 12.5%
1000 cm^3 | 1000 cm³
\text{12 pm} | 12 pm
(\sqrt{2},\sqrt{3}) | (√2, √3)
15 \text{ dollars} | $15
"""

WRONG = r"""
# integers and decimals
14 | 15
14 | -14
3 | 1, 2, 3, 4
3 | 3 or 4
3 | 3, 4
12345 | 1,2345
12345 | 12,346
0.5 | 0.05
1.5 | 1,5
100 | 1000
2 | 2.0001
3 | 3x
7 | seventy
\frac13 | 0.33
\frac13 | 0.3333
0.33 | \frac13
\pi | 3.14
\pi | 3.14159265358979
\pi | 22/7
\sqrt2 | 1.414
\sqrt2 | 1.41421356237309504880168872420969807857
1.414 | \sqrt{2}
2 | 1.9999999999
14 | 14!
# fractions
\frac12 | \frac21
\frac12 | 12
\frac{1}{72} | \frac{17}{2}
3\frac12 | \frac32
3\frac{1}{2} | 31/2
-\frac12 | \frac12
\frac{a}{b} | \frac{b}{a}
\frac13 | 0.\overline{34}
\frac16 | 0.\overline{16}
0.\overline{12} | 0.12
3/4 | 4/3
# powers, roots, constants
1024 | 2^{11}
2^{10} | 20
1.5\times10^6 | 1.5\times10^5
\sqrt{12} | 3\sqrt{2}
\sqrt{2} | 2
\sqrt{2} | -\sqrt{2}
\sqrt[3]{2} | 3\sqrt{2}
3\sqrt{13} | 13\sqrt{3}
\sqrt{2}+\sqrt{3} | \sqrt{5}
288\pi | 288
288\pi | 288pi^2
\frac{\pi}{2} | \frac{2}{\pi}
e^2 | 2e
e^{\pi\sqrt{163}} | 262537412640768744
\ln 2 | \log_{10} 2
\ln 8 | 2\ln 3
\log_2 3 | \log_3 2
\sin 2x | 2\sin x
\sin x | \cos x
\sin(1) | \sin 1^\circ
\tan x | \cot x
5! | 5
\binom52 | \binom51
27^{2/3} | 18
\sqrt{-4} | -2
\sqrt{-4} | 2
# polynomials and expressions
4x+7 | 4x-7
4x+7 | 7x+4
3x-2 | 3x+2
3x-2 | 3x
x^2+2x+1 | (x-1)^2
(a+b)^2 | a^2+b^2
R+r | 2r
R+r | 2R
X | x
x | X
|x| | x
\sqrt{x^2} | x
x | |x|
x^6 | \frac{x^{997}-1}{x^{991}-1}
\frac{x^{997}-1}{x^{991}-1} | x^6
x^2 | 2x
2^n | n^2
2x | 2y
xy | x+y
\frac{1}{x+y} | \frac1x+\frac1y
|x-1000| | 1000-x
1+3e-1 | 1.3
n! | n
x_1 | x_2
2ab | 2a
a+b | ab
# complex numbers
2+351i | 353
2+351i | 2-351i
1+i | 1-i
i | 1
2i | 2
# names and equations
5 | x+1=6
5 | 2x=10
x=5 | 2x=10
x=5 | y=5
5 | x=6
5 | x = 2+3 = 6
y=2x+3 | y=2x-3
y = 2x+3 | x=2y+3
x+y=3 | x+y=4
x^2+y^2=25 | x^2+y^2=5
2 | x^2 = 4
2, -2 | x^2=4
5 | 2+3=6
x=1, y=2 | x=2, y=1
5 | 5=6
6 | x=5, y=6
x^2 - 4 = 0 | x-2=0
x = 1 | x
# inequalities and intervals
x>3 | x\ge3
x>3 | x<3
x>3 | 3
x>3 | x>4
x>3 | 2x>6
x>3 | x+1>4
(3,\infty) | 2x>6
(3,\infty) | [3,\infty)
(1,2] | (1,2)
(1,2] | [1,2]
[1,2] | (1,2)
[1,2] | [2,1]
[1,2) | \{1,2\}
[0,1] | 0<x<1
-2<x\le5 | -2\le x\le 5
(-\infty,3) | (3,\infty)
(-\infty,3) | (-3,\infty)
(-\infty,-1)\cup(1,\infty) | (-\infty,-1)
(-\infty,-1)\cup(1,\infty) | (-1,1)
(-\infty,-1)\cup(1,\infty) | (-\infty,-1]\cup[1,\infty)
(-\infty,1)\cup(1,\infty) | \mathbb{R}
\mathbb{R} | \emptyset
\emptyset | 0
y<2x+1 | y>2x+1
y<2x+1 | y\le 2x+1
[0,\pi] | [0,2\pi]
x \ne 1 | x=1
\infty | -\infty
[-1,1] | -1, 1
# lists, sets, tuples
1,2,3 | 1,2
1,2 | 1,2,3
1,2 | 1,3
1,2 | 1
1 | 1,2
(1,2) | (2,1)
(1,2) | \{1,2\}
(1,2) | 3
(1,2) | (1,2,3)
(1,2),(3,4) | (1,3),(2,4)
(1,2),(3,4) | (2,1),(4,3)
\{1,2\} | (2,1)
\sqrt2,-\sqrt2 | \sqrt2
2, 2 | 2
(x, y) | (y, x)
1,2,3 | 123
1,2 | 12
0, 1 | 0, 1, 2
1, 2 | x=1, x=3
# plus-minus
\pm2 | 2
2 | \pm2
2 | 2, -2
\pm 2 | -2
1\pm\sqrt2 | 1+\sqrt2
1\pm\sqrt2 | \sqrt2\pm1
\frac{3\pm\sqrt5}{2} | \frac{3+\sqrt5}{2}
\pm 2 | \pm 3
# matrices
\begin{pmatrix}1&2\\3&4\end{pmatrix} | \begin{pmatrix}1&3\\2&4\end{pmatrix}
\begin{pmatrix}1&2\\3&4\end{pmatrix} | 1,2,3,4
\begin{pmatrix}1\\2\end{pmatrix} | \begin{pmatrix}2\\1\end{pmatrix}
\begin{pmatrix}1\\2\end{pmatrix} | \begin{pmatrix}1&2\end{pmatrix}
\begin{pmatrix}1\\2\end{pmatrix} | 12
\begin{pmatrix}1&2\\3&4\end{pmatrix} | (1,2,3,4)
# percent and units
35 | 0.35
35\% | 3.5
35\% | 53\%
35\% | 3500\%
35\% | 0.35\%
5\text{ cm} | 5\text{ m}
5\text{ cm} | 5 inches
5\text{ cm} | 6 cm
5 \text{ cm}^2 | 5\text{ cm}^3
5\text{ cm} | 5\text{ cm}^2
\$5 | 5 cents
\$5 | \$50
\$5 | €5
60 mph | 60 km/h
90^\circ | 91^\circ
90^\circ | 90\text{ cm}
7 \text{ apples} | 7 \text{ oranges}
7 \text{ apples} | 8
3\text{ hours} | 3\text{ minutes}
30^\circ | \sin 30^\circ
# text
\text{Monday} | Tuesday
\text{even} | odd
\text{Yes} | No
\text{(A)} | B
\text{(C)} | \text{(D)}
C | D
C | c
(A) | (B)
\text{Alice} | \text{Alice or Bob}
\text{(A)} | A or B
A | A, B
\text{even} | 2
\text{no solution} | 0
\text{right} | left
# numbers in base n
52_8 | 52_9
52_8 | 42
52_8 | 25_8
101_2 | 5
2A3_{16} | 2A4_{16}
# ratios
3:4 | 4:3
3:4 | 3:5
1:2:3 | 1:2
1:2:3 | 1:3:2
# near misses
\text{II and III} | I, III
6:30 \text{ p.m.} | 6:30 a.m.
5:00 | 6:00
3:4 | 4 to 3
\sqrt{x^2} | -x
(x+1)\sqrt{x+1} | (x+1)^{5/2}
\binom{n}{2} | n(n+1)/2
2\sqrt2 | 2.83
1<x<3 | 1<x\le3
f(x)=x^2 | x^3
5 | 5i
5 | 5x
5 | 5, x
10 | 1 0
5 | 5 5
5 | 5 = 6
5 | 5!
5 | 55
5 | 5 \text{ or } 6
5 | either 5 or 6
5 | 5 or maybe 6
5 | \text{5 or 6}
5 | 4 + 1i
0 | \emptyset
0 | i^2+2
\frac{1}{0} | 5
5 | \frac{5}{0}
5 | nan
5 | \infty
2 | \sqrt{4.0001}
x | x+0.0000001
x^2 | x^{2.0000001}
\frac{7\pi}{6} | 210
(2,5) | (5,2)
(2,5) | 5,2
[2,5] | 2,5
1,2 | [1,2]
(0,1] | [0,1)
3 | 3\text{ or more}
A | a
\text{(A)} | (B) A
B | (A) 5
B | A, B, C
5 | 5\pm0
1/3 | .333333333333
x<3 | x\le 2.999999
3\text{ m} | 3\text{ cm}
3 m | 3 s
2^{10} | 2*10
-\frac{1}{2} | 1/2
45 | 4.5\times10^2
5 | \boxed{}
\log_2 3 | \log 3
\sqrt{2}i | \sqrt{2}
0.25 | 25
y=x^2 | x=y^2
x^2+y^2=1 | x^2-y^2=1
x^2=4 | x=2
x=2 | x^2=4
\begin{pmatrix}1\\2\end{pmatrix} | \begin{pmatrix}1\\2\\0\end{pmatrix}
\begin{pmatrix}1\\2\end{pmatrix} | [1,2,3]
2n+1 | 2n-1
\text{increasing} | decreasing
\text{yes} | yes or no
3.5 | 3,5
(3,5) | 3.5
12 | 1, 2
1/2 | 1, 2
\pi | p i
\sin(x+y) | \sin x+\sin y
\frac{\sin x}{x} | \sin
\ln(xy) | \ln x \ln y
\ln(x+y) | \ln x + \ln y
\sqrt{x+y} | \sqrt{x}+\sqrt{y}
2^{x+y} | 2^x+2^y
\frac{x}{x+1} | \frac{1}{1+1}
e | 2.718281828
1 | x/x + 1
1 | 0.999999
-4 | 4-
-4 | 4
"""

# Hostile answers: values, powers and nestings past every bound; characters and torn markup.

BOMBS = [
    "(7^{99999})^{99999}", "(1+(7^{9999})^{9999})^{2}",
    "9^{9^{9^9}}", "9**9**9**9", "10^{10^{10}}", "2^{-10^{9}}", "(10^{6})!", "(((9!)!)!)!",
    "170!!", r"\binom{10^9}{10^8}", "x^{10^9}", "(x+1)^{10^6}", "(x+y+z+1)^{40}",
    "(1+sqrt2)^{4000}", r"\sin(10^{10^{5}})", r"\exp(10^{9})", "e^{e^{e^{e^{9}}}}",
    r"\ln(\ln(\ln 2))", "|10^{10^9}|", r"\sqrt[10^9]{2}", r"\sqrt[0]{2}", "2^{1/100000007}",
    r"\log_1 5", r"\log_0 5", r"\log_{-2} 5", r"\lfloor 10^{999999} \rfloor",
    r"\lceil e^{e^{20}} \rceil", r"\tan\frac{\pi}{2}", "0^0", "0^{-1}", "1/0", r"\frac{0}{0}",
    r"\frac{1}{\sin 0}", r"\frac{1}{\sqrt2\sqrt2-2}", "oo-oo", "oo/oo", "0*oo", "nan", "zoo",
    "NaN", "inf", "-Infinity", "1e999999999", "1e-999999999", "1e300", "9" * 5000,
    "0." + "1" * 5000, "0.(" + "9" * 900 + ")", r"0.\overline{" + "7" * 250 + "}",
    "12345678901234567891!", "(" * 3000, "(" * 900 + "1" + ")" * 900, "{" * 5000 + "}" * 5000,
    "[" * 400 + "1" + "]" * 400, r"\frac" * 400, r"\sqrt" * 500 + "2", "-" * 1400 + "1",
    "+-" * 600 + "1", "!" * 700, "5" + "!" * 300, "x" + "^x" * 200, "2" + "^{2" * 150 + "}" * 150,
    "|" * 1001, "|x|" * 300, "1" + "%" * 400, ",".join(["1"] * 700), ",".join(["sin x"] * 60),
    r"\pm" * 200 + "1", r"1\pm2\pm3\pm4\pm5\pm6\pm7", "=" * 900, "x=" * 300 + "1", "<" * 800,
    "a<b<c<d<e<f<g", r"\cup" * 300, "x'" + "'" * 800, r"\text{" * 400, r"\begin{pmatrix}" * 200,
    r"\begin{pmatrix}" + "1&" * 400 + r"1\end{pmatrix}",
    r"\begin{pmatrix}" + r"1\\" * 200 + r"\end{pmatrix}", r"\begin{pmatrix}1&2\\3\end{pmatrix}",
    "(sin(x)+cos(y)+tan(z))^{30}", r"\sin " * 200 + "x", r"\sqrt{x+" * 20 + "1" + "}" * 20,
    "sin(x)^{397}-cos(y)^{389}", r"\sum_{k=1}^{10^9}k", r"\int_0^\infty e^{-x^2}dx", "a_" * 300,
    "1" + "0" * 299 + "/3", "x^{1/2}" * 60, "(x^{1/3}+y^{1/5}+z^{1/7})^{20}", "52_{99999}",
    "52_{1}", r"\frac{1}{" * 22 + "x" + "}" * 22, "+".join(f"\\sqrt{{{k}}}" for k in range(2, 90)),
    "+".join(f"\\sin({k}x)" for k in range(1, 60)), "*".join(f"(x-{k})" for k in range(1, 70)),
    "1/(" + "+".join(f"x_{k}" for k in range(1, 99)) + ")", "(2^{4000})^{4000}", "2^{2^{2^{2^2}}}",
    r"\sin^{-1}(10^5)", "x^{0.0000000001}", "factorial(200)^{200}", "(1/3)^{3000}", "1:0", "0:0",
    "1:2:" * 90,
]  # fmt: skip

BOMBS += [
    "\\gcd(" + "9" * 200 + "," + "8" * 200 + ")", "\\gcd()", "\\max()", "\\lcm(0,0)",
    "C(10000,5000)", "C(999999999,5)", "log10(10^{1000000})", "log_999999(5)",
    "\\begin{cases}" * 24 + "1" + "\\end{cases}" * 24, "\\begin{cases}x=1\\\\",
    "\\begin{cases}" + "x=1\\\\" * 90 + "\\end{cases}", "A. " * 600, "5 feet 6 inches 7",
    "1 hour " * 60, "answer is " * 150, "5 base 8 base 8", "|" * 200 + "x" + "|" * 200 + "<1",
    "x=1,y=2 or " * 60 + "x=2", "{" + "1\\over " * 60 + "2}", "FFFF_{16}" * 50, "Z_{99}",
]  # fmt: skip

CONTROL = [
    "\x00", "5\x00", "\x1b[31m5", "\u202e5", "\u20665\u2069", "\ufeff5", "5\u200b", "\ud800",
    "\udfff5", "٣", "५", "𝟓", "５", "⑤", "Ⅴ", "\u0301" * 900, "é" * 500, "\ufdfa" * 700, "🙂",
    "\r\n5", "\t5\v", "\x7f", "²³", "x²³", "₂", "½½½", "√", "√√√√2", "∞∞", "\\", "\\\\", "\\ ",
    "$", "$$", "\\(", "%", "^", "_", "&", "{}", "}{", "()", "[]", ")(", ",", ",,,", ";", "1,",
    ",1", "..", "...", "1..2", "1.2.3", "\\frac", "\\frac{1}", "\\sqrt", "\\sqrt[", "\\sqrt[3",
    "\\text{", "\\end{pmatrix}", "\\left(", "\\right)", "sin", "log_", "x_", "x^", "^2", "|", "||",
    "|1", "1|", "\\pm", "=", "==", "x=", "=5=", "<", "5<", "\\in", "x\\in", "\\circ", "^\\circ",
    "\\%", "5 5", "\\text{}", "\\text{ }", "\\boxed", "\\color{red}", "\\color{red", "\\bar",
    "\\bar{",
]  # fmt: skip

# What the fuzzed answers are made of.
SCRAPS = r"""0 1 2 3 12 7.5 .5 x y n i e pi \pi \frac \sqrt { } ( ) [ ] \{ \} , ; + - * / ^ _ ! % =
< > \le \cup \pm | \sin \log \ln sqrt( exp( \text{ \left \right & \\ \begin{pmatrix} \end{pmatrix}
^\circ \infty \in or and cm \$ 0.\overline{3} 1,000 52_8 : ... \binom \lfloor \rfloor abs( A"""


def cases():
    """Yield (heading, gold, answer, is it right?)."""
    rooms = ((RIGHT, WRONG), (fresh.RIGHT, fresh.WRONG), (second.RIGHT, second.WRONG))
    for text, right in (
        (text, right) for room in rooms for text, right in zip(room, (True, False), strict=True)
    ):
        heading = ""
        for line in text.strip().splitlines():
            if line.startswith("# "):
                heading = line[2:]
            else:
                gold, answer = line.split(" | ", 1)
                yield heading, gold, answer, right
